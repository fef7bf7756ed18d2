"""`rekrylov predict`: stored samples, files of functions, or expressions → predicted solutions."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from pipeline.expressions import function
from pipeline.operators.errors import TrainingError
from storage import Dataset, open_dataset

__all__ = ["chosen", "predict"]

Array = NDArray[np.float64]
EXPRESSIONS = (".yaml", ".yml")


def predict(
    checkpoint: str | Path,
    given: str | Path,
    *,
    dataset: str | Path | None = None,
    ids: str | None = None,
    split: str | None = None,
    out: Sequence[Path] = (),
) -> dict[str, Any]:
    """Predict and write files.

    Args:
        checkpoint: the file or its folder.
        given: the folder of a data set; a file with coefficients or values at points, .npz or
            .h5; or one with expressions, .yaml (`_from_expressions`).
        dataset: gives mesh and spaces of a file; default: the one the checkpoint lies in.
        ids: of stored samples, "3,5,10-20"; default: all.
        split: of stored samples.
        out: files to write, by suffix .npz, .h5, .vtkhdf, .png.

    Returns:
        `samples`, `seconds` (load, predict, write), `files`, and of stored samples `errors`.

    Raises:
        TrainingError: the checkpoint, the inputs or the arguments can't be used.
        StorageError: the data set is damaged, or a file can't be written.
    """
    from pipeline.operators.exports import check_suffix, export
    from pipeline.operators.predict import home_of, load, predict_samples
    from pipeline.operators.predict import predict as predict_functions

    for path in out:
        check_suffix(path)
    path, start = Path(given), time.perf_counter()
    if path.is_dir():
        if dataset is not None:
            raise TrainingError("--dataset goes with a file of functions; INPUT is a data set")
        samples = chosen(path, ids, split)
        operator = load(checkpoint, samples).operator
        found = predict_samples(operator, samples)
    else:
        if ids is not None or split is not None:
            raise TrainingError(f"--ids and --split choose stored samples; {path} is no data set")
        inputs: Any = path
        if path.suffix in EXPRESSIONS:
            home = open_folder(home_of(checkpoint) if dataset is None else Path(dataset))
            inputs = _from_expressions(path, load(checkpoint, home).operator.task)
        elif dataset is not None:
            open_folder(Path(dataset))
        found = predict_functions(checkpoint, inputs, dataset=dataset)
    seconds = {"load": time.perf_counter() - start - found.seconds, "predict": found.seconds}
    start = time.perf_counter()
    files = [str(file) for path in out for file in export(path, found)]
    seconds["write"] = time.perf_counter() - start
    report: dict[str, Any] = {"samples": len(found), "seconds": seconds, "files": files}
    if found.errors is not None:
        report["errors"] = {name: float(values.mean()) for name, values in found.errors.items()}
    return report


def chosen(folder: Path, ids: str | None, split: str | None) -> Dataset:
    """Return the samples of a data set that `--ids` or `--split` name; all without them.

    Raises:
        TrainingError: both are given, or a sample or split doesn't exist.
    """
    from storage.selection import parse_ids

    dataset = open_folder(folder)
    if ids is not None and split is not None:
        raise TrainingError("--ids and --split: expected one of them")
    try:
        if ids is not None:
            return dataset.select(parse_ids(ids))
        return dataset if split is None else dataset.split(split)
    except KeyError as error:
        raise TrainingError(str(error.args[0])) from error


def open_folder(folder: Path) -> Dataset:
    """Open a data set; raises TrainingError if there is none."""
    try:
        return open_dataset(folder)
    except FileNotFoundError as error:
        raise TrainingError(f"{error}; give the folder of a data set") from error


def _from_expressions(path: Path, task: Any) -> dict[str, Array]:
    """Read `a: "exp(sin(pi*x))"`, `mu: 0.01`; a list of such mappings is a sample each.

    A field is an expression in x, y, z, a vector field a list of them, evaluated at the points
    of the space's interpolation (on the reference mesh); a parameter is a number, or a list.

    Raises:
        TrainingError: it is no such file, an input is missing, or an expression isn't understood.
    """
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise TrainingError(f"{path}: can't be read ({reason}); give a YAML file") from error
    samples = read if isinstance(read, list) else [read]
    for sample in samples:
        if not isinstance(sample, Mapping) or set(sample) != set(task.names):
            got = list(sample) if isinstance(sample, Mapping) else type(sample).__name__
            raise TrainingError(f"{path}: has {got}; expected the keys {task.names}")
    spaces = {field.name: task.space(field) for field in task.inputs}
    return {
        name: np.stack([_value(path, name, sample[name], spaces.get(name)) for sample in samples])
        for name in task.names
    }


def _value(path: Path, name: str, value: Any, space: Mapping[str, Any] | None) -> Array:
    """Coefficients (dim) of an expression, or the numbers of a parameter."""
    from pipeline.operators.functions import interpolation

    parts = value if isinstance(value, list) else [value]
    try:
        if space is None:
            return np.array([float(part) for part in parts])
        points, matrix = interpolation(space)
        if len(parts) != (v := matrix.shape[1] // len(points)):
            raise ValueError(f"{len(parts)} expressions; the field has {v} components")
        functions = [function(str(part)) for part in parts]
        with np.errstate(all="ignore"):  # `checked` names what is not finite
            at = [np.broadcast_to(f(tuple(points.T), np), len(points)) for f in functions]
    except (ValueError, TypeError) as error:
        raise TrainingError(f"{path}: {name}: {error}") from error
    return np.asarray(matrix @ np.stack(at, axis=1).ravel(), dtype=np.float64)
