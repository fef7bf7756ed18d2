"""Commands that print every figure we publish: `python -m benchmarks.NAME`."""
