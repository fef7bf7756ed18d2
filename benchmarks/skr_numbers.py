"""Numbers of `benchmarks.skr` that are only bounds, because GMRES was stopped."""

from typing import Any

__all__ = ["AtLeast", "bounded", "ratio"]


class AtLeast(float):
    """A lower bound: a number that is printed with "≥"."""

    def __format__(self, spec: str) -> str:
        """As a float, with the sign before."""
        return "≥" + format(float(self), spec)


def bounded(value: float, row: dict[str, Any]) -> float:
    """`value` as a lower bound if GMRES failed on a system of the row."""
    return AtLeast(value) if row["gmres_failed"] else value


def ratio(row: dict[str, Any], unit: str, method: str = "sorted") -> float:
    """GMRES over a method, in "its" or "ms"."""
    return bounded(row[f"gmres_{unit}"] / row[f"{method}_{unit}"], row)
