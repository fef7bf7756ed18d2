"""A first look at the systems of a folder: what can be used, and in which order."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.interrupt import StopFlag
from pipeline.ordering import path_length, sort_features

__all__ = ["Survey", "sort_systems", "survey"]


@dataclass(frozen=True, slots=True)
class Survey:
    """What the first look at a system found.

    Attributes:
        size: Rows of A; 0 where that isn't known.
        sketch: What it is sorted by, where that comes from entries.
        problem: Why it can't be used, in one line that names the file; "" if it can.
    """

    size: int = 0
    sketch: NDArray[np.float64] | None = None
    problem: str = ""


def sorted_by(found: Any, sort: str) -> str:
    """What the systems of a `SystemFolder` are sorted by, in words."""
    if sort == "none" or len(found.files) < 3:
        return "nothing"
    if found.features is not None:
        return "given features"
    shared = len({file.matrix for file in found.files}) == 1
    return "entries of b" if shared else "entries of A"


def survey(found: Any, sort: str, comm: Any, stop: StopFlag) -> list[Survey]:
    """Look at all systems, each rank at its part; matrices are read where entries count.

    A matrix of another size than most gets a problem: what is solved in a row has one shape. On
    a signal the rest is left out. Collective.

    Args:
        found: A `solvers.system_files.SystemFolder`.
        sort: As `sort_features`.
        comm: The communicator.
        stop: Looked at between systems.
    """
    by = sorted_by(found, sort)
    part = np.array_split(np.arange(len(found.files)), comm.size)[comm.rank]
    mine = [Survey() if stop else _look(found.files[i], by) for i in part]
    surveys = [each for part in comm.allgather(mine) for each in part]
    return _of_one_size(found.files, surveys)


def _look(file: Any, by: str) -> Survey:
    from solvers.array_files import shape_of
    from solvers.file_checks import SystemFileError
    from solvers.sketch import sketch
    from solvers.system_files import read_matrix, read_right

    if file.problem:
        return Survey(problem=file.problem)
    try:
        if by == "entries of A":
            matrix, _ = read_matrix(file)
            return Survey(matrix.shape[0], sketch(matrix))
        size = shape_of(file.matrix)[0]
        if by == "entries of b":
            return Survey(size, sketch(read_right(file, size, [])))
        return Survey(size)
    except SystemFileError as error:
        return Survey(problem=str(error))


def _of_one_size(files: list[Any], surveys: list[Survey]) -> list[Survey]:
    """Mark the matrices that differ in size from most; of equal counts the first one wins."""
    sizes = Counter(each.size for each in surveys if not each.problem)
    if len(sizes) < 2:
        return surveys
    (size, count), *_ = sizes.most_common(1)
    return [
        each
        if each.problem or each.size == size
        else replace(
            each,
            problem=f"{file.matrix}: A has {each.size} rows, but {count} of {sizes.total()} "
            f"matrices here have {size}; put it into a folder of its own",
        )
        for file, each in zip(files, surveys, strict=True)
    ]


def sort_systems(
    found: Any, surveys: list[Survey], sort: str
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Return the indices of the usable systems along a short path, and what was done."""
    usable = np.flatnonzero([not each.problem for each in surveys])
    by = sorted_by(found, sort)
    if by == "nothing" or not len(usable):
        return usable, {"by": by, "method": sort}
    if by == "given features":
        features = found.features[usable]
    else:
        features = np.array([surveys[i].sketch for i in usable])
        features = features / (np.abs(features).max() or 1.0)  # squares can't overflow
    path = sort_features(features, sort)
    lengths = {"length": path_length(features, path)}
    lengths["length_unsorted"] = path_length(features, np.arange(len(usable)))
    return usable[path], {"by": by, "method": sort, **lengths}
