"""A user's own input functions: coefficients, or values at scattered points, from a file.

Values at points become a function in the input's space by its interpolation,

    a = Π f,    f piecewise linear on the Delaunay triangulation of the points,

and outside of their convex hull f is the value at the nearest point (SciPy's `griddata`). In
Lagrange spaces Π is evaluation at the dofs' points, in others the stored interpolation matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import griddata
from scipy.spatial import QhullError

from pipeline.operators.errors import TrainingError
from pipeline.operators.fe.evaluation import interpolation
from pipeline.operators.task import Task

__all__ = ["FILES", "checked", "read_functions"]

Array = NDArray[np.float64]
FILES = (".npz", ".h5", ".hdf5")


def read_functions(path: Path, task: Task) -> dict[str, Array]:
    """Read input functions and parameters of some samples.

    The file has an array for each input: coefficients (B, dim) in the data set's numbering, or
    (dim) of one sample. With an array `points` (n, gdim) all input fields are values at these
    points instead, (B, n) or (n); of vectors (B, n, v) or (n, v). Parameters are (B), (B, k) or
    one number.

    Args:
        path: an .npz or .h5 file.
        task: the inputs that are wanted.

    Returns:
        Name → (B, length), see `checked`.

    Raises:
        TrainingError: the file can't be read, or `checked` refuses what is in it.
    """
    arrays = _arrays(path)
    if "points" not in arrays:
        return checked(arrays, task)
    points = arrays["points"]
    gdim = int(task.mesh["gdim"])
    if points.ndim != 2 or points.shape[1] != gdim or not np.isfinite(points).all():
        raise TrainingError(
            f"{path}: `points` has shape {points.shape}; expected finite coordinates (n, {gdim})"
        )
    for field in task.inputs:
        if field.name in arrays:
            space = task.space(field)
            arrays[field.name] = _from_points(field.name, space, points, arrays[field.name])
    return checked(arrays, task)


def checked(inputs: Mapping[str, Any], task: Task) -> dict[str, Array]:
    """Return inputs as an operator wants them: name → (B, length), float64.

    Raises:
        TrainingError: one is missing, has another length or a value that is not finite, or the
            numbers of samples differ.
    """
    if missing := [name for name in task.names if name not in inputs]:
        raise TrainingError(
            f"input {missing[0]!r} is missing; expected {task.names}, got {sorted(inputs)}"
        )
    found = {name: np.asarray(inputs[name], dtype=np.float64) for name in task.names}
    for field in task.inputs:
        dim, values = int(task.space(field)["dim"]), np.atleast_2d(found[field.name])
        if values.ndim != 2 or values.shape[1] != dim:
            raise TrainingError(
                f"input {field.name!r} has shape {found[field.name].shape}; expected (samples, "
                f"{dim}), the coefficients in space {field.space}, or give `points` as well"
            )
        found[field.name] = values
    for name in task.parameters:
        values = np.atleast_1d(found[name])
        found[name] = values.reshape(len(values), -1)
    counts = {name: len(values) for name, values in found.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise TrainingError(f"numbers of samples are {counts}; expected the same, and at least 1")
    for name, values in found.items():
        if len(bad := np.argwhere(~np.isfinite(values))):
            row, column = bad[0]
            raise TrainingError(
                f"input {name!r} is {values[row, column]} at sample {row}, position {column}; "
                "expected finite values"
            )
    return found


def _from_points(name: str, space: Mapping[str, Any], points: Array, values: Array) -> Array:
    """Coefficients (B, dim) of the interpolant of scattered values."""
    where, matrix = interpolation(space)
    n, v = len(points), matrix.shape[1] // len(where)
    shape = (n,) if v == 1 else (n, v)
    if values.shape != shape and values.shape[1:] != shape:
        raise TrainingError(
            f"input {name!r} has shape {values.shape}; expected (samples, "
            f"{', '.join(map(str, shape))}), values at the {n} `points`"
        )
    columns = values.reshape(-1, n, v).transpose(1, 0, 2).reshape(n, -1)
    try:
        f = griddata(points, columns, where, method="linear")
        outside = np.isnan(f).any(axis=1)
        if outside.any():
            f[outside] = griddata(points, columns, where[outside], method="nearest")
    except (QhullError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise TrainingError(
            f"`points`: {n} points can't be triangulated ({reason}); give points that span the "
            "domain"
        ) from error
    at = f.reshape(len(where), -1, v).transpose(1, 0, 2).reshape(-1, len(where) * v)
    return np.asarray((matrix @ at.T).T)


def _arrays(path: Path) -> dict[str, Array]:
    """All arrays of numbers in a file; texts, such as `about` of a prediction, are left out."""
    if path.suffix not in FILES:
        raise TrainingError(f"{path}: suffix {path.suffix!r}; expected one of {', '.join(FILES)}")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
        else:
            with h5py.File(path, "r") as file:
                found = {k: item[()] for k, item in file.items() if isinstance(item, h5py.Dataset)}
    except (OSError, ValueError, AttributeError, BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise TrainingError(
            f"{path}: can't be read ({reason}); give a file with the inputs"
        ) from error
    arrays = {name: np.asarray(value) for name, value in found.items()}
    return {name: a.astype(np.float64) for name, a in arrays.items() if a.dtype.kind in "fiub"}
