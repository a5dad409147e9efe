"""The pages and the panel in a real Chromium.

It is a package so that its ``conftest`` is not taken for the one of all tests.
"""
