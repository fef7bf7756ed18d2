"""Write a prediction to files: coefficients, VTKHDF for ParaView, a picture."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.operators.errors import TrainingError
from pipeline.operators.predict import Prediction
from pipeline.operators.validation.pictures import Row, panel
from storage import moved_mesh
from storage.files import commit_bytes
from storage.hdf5 import build_image
from storage.pictures.drawing import draw, magnitude
from storage.pictures.triangles import Drawing, drawing
from storage.vtkhdf import vtk_field, vtkhdf

__all__ = ["check_suffix", "export"]

Array = NDArray[np.float64]
SHOWN = 4
"""Most samples in a picture."""


def check_suffix(path: Path) -> None:
    """Refuse a file that can't be written, before anything is predicted.

    Raises:
        TrainingError: its suffix is unknown, or its folder is missing.
    """
    if path.suffix not in WRITERS:
        raise TrainingError(
            f"--out {path}: suffix {path.suffix!r}; expected one of {', '.join(WRITERS)}"
        )
    if not path.parent.is_dir():
        raise TrainingError(f"--out {path}: folder {path.parent} is missing; create it first")


def export(path: Path, found: Prediction) -> list[Path]:
    """Write a prediction in the format of the path's suffix; an older file is replaced.

    `.npz`, `.h5`: each output (B, T, dim), or (B, dim) without a time axis, in the stored
    numbering; `ids` (B); `about`, a JSON text: spaces, hash of `spaces.h5`, times.
    `.vtkhdf`: one file a sample, `<stem>-<id>.vtkhdf` if there are several; solutions in time are
    its time steps. `.png`: the first four samples, with truth and error where they are known.

    Returns:
        The files written.

    Raises:
        TrainingError: the suffix is unknown, or there is nothing to draw in a picture.
    """
    check_suffix(path)
    content = WRITERS[path.suffix](path, found)
    for file, data in content.items():
        commit_bytes(file, data, replace=True)
    return list(content)


def _npz(path: Path, found: Prediction) -> dict[Path, bytes]:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = _coefficients(found)
    np.savez(buffer, **arrays, ids=found.ids, about=np.array(_about(found)))
    return {path: buffer.getvalue()}


def _hdf5(path: Path, found: Prediction) -> dict[Path, bytes]:
    arrays = _coefficients(found)

    def fill(file: h5py.File) -> None:
        for name, values in arrays.items():
            file[name] = values
        file["ids"] = found.ids
        file.attrs["about"] = _about(found)

    return {path: build_image(fill, sum(a.nbytes for a in arrays.values()))}


def _vtkhdf(path: Path, found: Prediction) -> dict[Path, bytes]:
    return {
        path if len(found) == 1 else path.with_stem(f"{path.stem}-{found.ids[row]}"): _sample(
            found, row
        )
        for row in range(len(found))
    }


def _sample(found: Prediction, row: int) -> bytes:
    """Input fields, predicted solutions, and true ones as `<output>_true`."""
    task, mesh = found.task, _mesh(found, row)
    values = {field.name: (field, found.inputs[field.name][row][None]) for field in task.inputs}
    for field in task.outputs:
        values[field.name] = (field, found.outputs[field.name][row])
        if found.truth is not None:
            values[f"{field.name}_true"] = (field, found.truth[field.name][row])
    made = {name: vtk_field(mesh, task.space(field), u) for name, (field, u) in values.items()}
    return vtkhdf(mesh, made, found.times)


def _png(path: Path, found: Prediction) -> dict[Path, bytes]:
    """First input, first output (its last step); samples with a geometry of their own on it."""
    task = found.task
    target, given = task.outputs[0], next(iter(_drawn_inputs(found)), None)
    how = [drawing(_mesh(found, row), task.space(target)) for row in range(min(SHOWN, len(found)))]
    if None in how:
        raise TrainingError(f"--out {path}: a surface can't be drawn; ask for .vtkhdf")
    if found.truth is None or "displacement" in found.inputs:
        return {path: _without_truth(found, [d for d in how if d is not None])}
    rows = [
        Row(
            f"sample {found.ids[row]}\n" + _error(found, row),
            found.inputs[given][row] if given else np.zeros(0),
            found.truth[target.name][row, -1],
            found.outputs[target.name][row, -1],
        )
        for row in range(len(how))
    ]
    field = next((f for f in task.inputs if f.name == given), None)
    input_drawing = None if field is None else drawing(task.mesh, task.space(field))
    names = (given or "", target.name)
    output_drawing = how[0]
    assert output_drawing is not None
    return {path: panel(rows, input_drawing, output_drawing, names, "Predictions")}


def _without_truth(found: Prediction, how: list[Drawing]) -> bytes:
    """The first output of each sample beside the others, in common colours."""
    target = found.task.outputs[0]
    shown = [magnitude(d.values(found.outputs[target.name][k, -1])) for k, d in enumerate(how)]
    low, high = min(float(v.min()) for v in shown), max(float(v.max()) for v in shown)
    limits = Normalize(low, high if high > low else low + 1.0)
    figure = Figure(figsize=(3.4 * len(how), 3.2), layout="constrained")
    axes = figure.subplots(1, len(how), squeeze=False)[0]
    for k, (ax, d, values) in enumerate(zip(axes, how, shown, strict=True)):
        draw(ax, d, values, "viridis", limits)
        ax.set_title(f"sample {found.ids[k]}", fontsize=10)
    if len(how[0].axes) > 1:
        figure.colorbar(ScalarMappable(limits, "viridis"), ax=list(axes), label=target.name)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


def _mesh(found: Prediction, row: int) -> Any:
    """The mesh of one sample: its points moved where there is a displacement."""
    task = found.task
    for field in task.inputs:
        if field.name == "displacement":
            return moved_mesh(task.mesh, task.space(field), found.inputs[field.name][row])
    return task.mesh


def _drawn_inputs(found: Prediction) -> list[str]:
    return [field.name for field in found.task.inputs if field.name != "displacement"]


def _error(found: Prediction, row: int) -> str:
    return "" if found.errors is None else f"relative L2 error {found.errors['l2'][row]:.2%}"


def _coefficients(found: Prediction) -> dict[str, Array]:
    in_time = found.times is not None
    return {name: u if in_time else u[:, 0] for name, u in found.outputs.items()}


def _about(found: Prediction) -> str:
    task = found.task
    about = {
        "spaces_hash": task.spaces_hash,
        "data_key": task.data_key,
        "spaces": {field.name: field.space for field in task.outputs},
        "units": {field.name: field.units for field in task.outputs},
        "times": None if found.times is None else found.times.tolist(),
    }
    return json.dumps(about)


WRITERS: dict[str, Callable[[Path, Prediction], dict[Path, bytes]]] = {
    ".npz": _npz,
    ".h5": _hdf5,
    ".vtkhdf": _vtkhdf,
    ".png": _png,
}
