"""What the inspector costs: ``make bench``. Not a part of the tests.

Timings depend on the machine, so no test asserts one; ``tests/test_bench.py`` tests
that the benchmark works. ``docs/performance.md`` says how it measures.
"""
