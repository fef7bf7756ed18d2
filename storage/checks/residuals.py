"""Checks of true residuals as stored, and of what was computed again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt

from storage.checks.finding import Finding, error, warning

if TYPE_CHECKING:
    from storage.checks.shard import Recomputed

__all__ = ["check_recomputed", "check_stored"]

type Ids = npt.NDArray[np.int64]

_COLUMN = "solve/true_residual"
_SOME = 5
_DRIFT = 1e4  # rounding errors that another machine's arithmetic may leave in an input
_APART = 0.1  # how far a stored residual may be from the one computed again, relative …
_APART_OF_RTOL = 0.02  # … or in units of rtol: where little is left but rounding errors


def check_stored(file: h5py.File, ids: Ids, rtol: float | None, location: str) -> list[Finding]:
    """Stored true residuals are below the tolerance."""
    if _COLUMN not in file:
        return [warning("residual.missing", location, f"stores no {_COLUMN}")]
    residuals = file[_COLUMN][()].reshape(len(ids), -1)
    bad = _above(residuals, rtol)
    if not bad.any():
        return []
    text = f"true residual of samples {ids[bad][:_SOME].tolist()} is above rtol {rtol}"
    return [error("residual.high", location, text)]


def check_recomputed(
    file: h5py.File, found: Recomputed, ids: Ids, rtol: float | None, location: str
) -> list[Finding]:
    """What is stored is what its id and the equations say."""
    residuals = np.asarray(found.residuals).reshape(len(ids), -1)
    findings = []
    lacking = np.isinf(residuals).any(axis=1)
    if lacking.any():
        some = ids[lacking][:_SOME].tolist()
        text = f"solutions of samples {some} lack the boundary values of their inputs"
        findings.append(error("values.boundary", location, text))
    bad = _above(residuals, rtol) & ~lacking
    if bad.any():
        text = (
            f"recomputed true residual of samples {ids[bad][:_SOME].tolist()} is up to "
            f"{np.max(residuals[bad]):.3g}, rtol is {rtol}"
        )
        findings.append(error("residual.recomputed", location, text))
    if _COLUMN in file and not findings:
        findings += _forged(file[_COLUMN][()], residuals, ids, rtol, location)
    return findings + _drifted(file, found, ids, location)


def _above(residuals: Any, rtol: float | None) -> Any:
    limit = np.inf if rtol is None else rtol
    return ~np.all(np.isfinite(residuals) & (residuals <= limit), axis=1)


def _forged(
    stored: Any, residuals: Any, ids: Ids, rtol: float | None, location: str
) -> list[Finding]:
    stored = stored.reshape(len(ids), -1)
    if stored.shape != residuals.shape:
        text = f"{_COLUMN} has shape {stored.shape}, expected {residuals.shape}"
        return [error("residual.stored", location, text)]
    allowed = _APART * residuals + _APART_OF_RTOL * (rtol or 0.0)
    apart = np.any(np.abs(stored - residuals) > allowed, axis=1)
    if not apart.any():
        return []
    row = int(np.flatnonzero(apart)[0])
    text = (
        f"stored true residuals of samples {ids[apart][:_SOME].tolist()} are not those of what is "
        f"stored: {stored[row].max():.3g} instead of {residuals[row].max():.3g}"
    )
    return [error("residual.stored", location, text)]


def _drifted(file: h5py.File, found: Recomputed, ids: Ids, location: str) -> list[Finding]:
    findings = []
    if found.unknown is not None:
        text = f"inputs can't be drawn again: {found.unknown}"
        findings.append(warning("inputs.unknown", location, text))
    for column, drift in found.drift.items():
        kind = file[column].dtype
        allowed = _DRIFT * np.finfo(kind).eps if kind.kind == "f" else 0.0
        far = ~(np.asarray(drift) <= allowed)
        if far.any():
            text = (
                f"{column} of samples {ids[far][:_SOME].tolist()} is not what is drawn for them: "
                f"it differs by up to {np.max(drift[far]):.2g} of its size"
            )
            findings.append(error("inputs.drawn", location, text))
    return findings
