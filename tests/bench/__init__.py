"""What the inspector costs: ``make bench``. Not a part of the tests.

Timings depend on the machine, so no test asserts one.
"""
