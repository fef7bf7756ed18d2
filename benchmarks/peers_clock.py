"""The clock of `benchmarks.peers`: CPU time, which a shared machine disturbs least.

Everything that is raced runs in one thread and waits for nothing, so that on a quiet machine it is
wall time too; a method that took more threads would pay for all of them.
"""

from time import process_time as now

__all__ = ["now"]
