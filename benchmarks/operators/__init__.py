"""Operators on equal budgets of time and of parameters: `python -m benchmarks.operators`."""
