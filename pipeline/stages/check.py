"""Stage `check`: is the data set what it says it is?"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset_folder import existing
from pipeline.discretisation import Discretisation
from pipeline.spec import Spec
from storage import DataFolder, Finding, check_dataset, read_spaces

__all__ = ["CheckResult", "check"]


@dataclass(frozen=True)
class CheckResult:
    """Outcome of a check.

    Attributes:
        findings: What was found; errors make the data set damaged.
        recomputed: Samples whose true residual was recomputed.
        worst_residual: The largest of those, None if there was none.
    """

    findings: list[Finding]
    recomputed: int = 0
    worst_residual: float | None = None

    @property
    def sound(self) -> bool:
        """Whether there was no error."""
        return not any(finding.severity == "error" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"sound": self.sound, **asdict(self)}


def check(spec: Spec, folder: DataFolder, full: bool = False) -> CheckResult:
    """Check files, hashes, ids, values; with `full`, assemble every system again.

    The recomputed residual ρ = ‖F(u)‖/‖F(u_D)‖ uses nothing of the run: mesh and spaces from
    `spaces.h5`, coefficients from the shards, a fresh assembly. Not collective.

    Args:
        spec: The data set's spec.
        folder: The data set.
        full: Recompute residuals.

    Raises:
        StorageError: There is no data set.
    """
    existing(folder)
    recompute = _Recompute(spec, folder) if full else None
    findings = check_dataset(folder.path, full=full, recompute=recompute)
    if recompute is None:
        return CheckResult(findings)
    worst = recompute.worst if recompute.count else None
    return CheckResult(findings, recompute.count, worst)


class _Recompute:
    """Residuals of stored samples by a fresh assembly, made when the first one is asked for."""

    def __init__(self, spec: Spec, folder: DataFolder) -> None:
        self._spec, self._folder = spec, folder
        self._discretisation: Discretisation | None = None
        self.count, self.worst = 0, 0.0

    def __call__(
        self, ids: NDArray, inputs: dict[str, NDArray], outputs: dict[str, NDArray]
    ) -> NDArray:
        from mpi4py import MPI

        if self._discretisation is None:
            spaces = read_spaces(self._folder.spaces)
            self._discretisation = Discretisation(self._spec, spaces, MPI.COMM_SELF)
        there = self._discretisation
        residuals = np.array(
            [
                max(there.residuals(_columns(inputs, row), _row(outputs, row)))
                for row in range(len(ids))
            ]
        )
        self.count += len(ids)
        self.worst = max(self.worst, float(residuals.max(initial=0.0)))
        return residuals


def _row(outputs: dict[str, NDArray], row: int) -> dict[str, Any]:
    return {name: values[row].astype(np.float64) for name, values in outputs.items()}


def _columns(inputs: dict[str, NDArray], row: int) -> dict[str, Any]:
    return {
        name if "/" in name else f"inputs/{name}": values[row].astype(np.float64)
        for name, values in inputs.items()
    }
