"""Writing the packed copy (`storage.loading.packed`), a piece of a shard in memory at a time."""

from __future__ import annotations

import io
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from storage import files
from storage.errors import BadSelection, StorageError, StorageFull
from storage.loading.packed import FORMAT, INDEX, PackedCopy, find_packed, packed_faults
from storage.positional import write_at

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["pack", "remove_packed"]

_PIECE = 1 << 25
_BESIDE = ("parameters/", "times", "samples/id")

type Progress = Callable[[int], None]


def pack(
    dataset: Dataset, fields: Sequence[str] | None = None, progress: Progress | None = None
) -> PackedCopy:
    """Write the packed copy of a data set; what is there, sound and of its samples is kept.

    Fields are rounded to single precision. Parameters, times and ids come along as they are.

    Args:
        dataset: all its samples, opened with `verify=True` so that nothing damaged is copied.
        fields: which; all by default. Those packed before stay.
        progress: told how many samples are done, of `len(dataset)`.

    Raises:
        BadSelection: there is no such field.
        DamagedShard: a shard is damaged.
        StorageFull, ReadOnly: the copy as it was before is left.
        StorageError: a value is too large for single precision.
    """
    folder = dataset.path / "packed"
    files.make_folder(folder)
    files.remove_leftovers(folder)
    kept = _kept(dataset)
    missing = [name for name in _wanted(dataset, fields) if name not in kept]
    made = _write(dataset, folder, missing, progress or (lambda done: None))
    index = {
        "format": FORMAT,
        "data_key": dataset.manifest["data_key"],
        "digest": dataset.digest,
        "samples": len(dataset),
        "columns": kept | made,
    }
    files.commit_json(folder / INDEX, index, replace=True)
    _remove_others(folder, {entry["file"] for entry in index["columns"].values()})
    return PackedCopy(folder, dataset.ids, index["columns"])


def remove_packed(path: Path) -> bool:
    """Remove the packed copy of the data set in `path`, index first; False if there was none."""
    folder = Path(path) / "packed"
    if not folder.is_dir():
        return False
    files.remove_file(folder / INDEX)
    with files.translated(folder):
        shutil.rmtree(folder)
    files.sync_folder(folder.parent)
    return True


def _wanted(dataset: Dataset, fields: Sequence[str] | None) -> list[str]:
    known = {name: f"inputs/{name}" for name in dataset.inputs}
    known |= {name: f"outputs/{name}" for name in dataset.outputs}
    for name in fields or ():
        if name not in known:
            raise BadSelection(f"--fields: {name!r} is not one of {list(known)}")
    chosen = [known[name] for name in (known if fields is None else fields)]
    return [*chosen, *(name for name in dataset.columns if name.startswith(_BESIDE))]


def _kept(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """What an earlier copy has that can be kept."""
    try:
        found = find_packed(dataset)
    except StorageError:
        return {}
    if found is None:
        return {}
    bad = {Path(file).name for file, _ in packed_faults(dataset)}
    return {name: entry for name, entry in found.columns.items() if entry["file"] not in bad}


def _write(
    dataset: Dataset, folder: Path, columns: list[str], progress: Progress
) -> dict[str, dict[str, Any]]:
    """Write the files of some columns and give them their names."""
    plans = {name: _plan(dataset, name) for name in columns}
    needed = sum(len(header) + _bytes(shape, kind) for header, shape, kind in plans.values())
    _check_space(folder, needed)
    temporary = {name: files.temporary_path(folder / _file_name(dataset, name)) for name in columns}
    try:
        with files.translated(folder):
            opened = {name: _created(temporary[name], *plans[name]) for name in columns}
            try:
                for done, rows in _pieces(dataset, plans):
                    for name in columns:
                        _write_rows(dataset, name, rows, opened[name], plans[name])
                    progress(done)
                for file in opened.values():
                    os.fsync(file)
            finally:
                for file in opened.values():
                    os.close(file)
            return {
                name: _published(dataset, name, temporary[name], plans[name]) for name in columns
            }
    finally:
        for path in temporary.values():
            with suppress(FileNotFoundError):
                os.unlink(path)
        files.sync_folder(folder)


type _Plan = tuple[bytes, tuple[int, ...], np.dtype[Any]]


def _plan(dataset: Dataset, column: str) -> _Plan:
    """Header of the `.npy` file, shape and type."""
    stored = np.dtype(dataset.columns[column]["dtype"])
    is_field = column.startswith(("inputs/", "outputs/")) and stored.kind == "f"
    kind = np.dtype("<f4") if is_field else stored
    shape = (len(dataset), *dataset.columns[column]["shape"])
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape},
    )
    return header.getvalue(), shape, kind


def _bytes(shape: Sequence[int], kind: np.dtype[Any]) -> int:
    return kind.itemsize * math.prod(shape)


def _file_name(dataset: Dataset, column: str) -> str:
    return f"{column.replace('/', '.')}-{dataset.digest[:10]}.npy"


def _created(path: Path, header: bytes, shape: tuple[int, ...], kind: np.dtype[Any]) -> int:
    """A new file of full size, so that a full disk is noticed before the work."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        os.posix_fallocate(file, 0, len(header) + _bytes(shape, kind))
        os.pwrite(file, header, 0)
    except BaseException:
        os.close(file)
        raise
    return file


def _pieces(dataset: Dataset, plans: dict[str, _Plan]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """(samples done then, positions) by shard, as many at a time as take 32 MiB."""
    widest = max((_bytes(shape[1:], kind) for _, shape, kind in plans.values()), default=0)
    count, done = max(1, _PIECE // max(1, 2 * widest)), 0
    for rows in dataset.by_shard() if plans else ():
        for start in range(0, len(rows), count):
            piece = np.sort(rows[start : start + count])
            done += len(piece)
            yield done, piece


def _write_rows(
    dataset: Dataset, column: str, rows: npt.NDArray[np.int64], file: int, plan: _Plan
) -> None:
    header, shape, kind = plan
    values = dataset.read(column, rows)
    with np.errstate(over="ignore"):
        packed = np.ascontiguousarray(values.astype(kind))
    if kind != values.dtype and (lost := np.isfinite(values) != np.isfinite(packed)).any():
        sample = dataset.ids[rows[np.argwhere(lost)[0, 0]]]
        raise StorageError(
            f"{column} of sample {sample} has {np.abs(values[lost]).max():.3g}, too large for "
            "single precision; leave this field out: `rekrylov pack --fields …`"
        )
    size = _bytes(shape[1:], kind)
    runs = np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows) != 1) + 1)
    for run in runs:
        write_at(file, packed[run[0] : run[-1] + 1], len(header) + int(rows[run[0]]) * size)


def _published(dataset: Dataset, column: str, path: Path, plan: _Plan) -> dict[str, Any]:
    """Give a finished file its name; returns its entry in the index."""
    header, shape, kind = plan
    name = _file_name(dataset, column)
    digest = files.sha256_file(path)
    os.replace(path, path.with_name(name))
    return {
        "file": name,
        "sha256": digest,
        "bytes": len(header) + _bytes(shape, kind),
        "offset": len(header),
        "shape": list(shape),
        "dtype": kind.str,
    }


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageFull(
            f"{folder}: the packed copy takes {needed / 2**20:.0f} MiB, {free / 2**20:.0f} are "
            "free; free some space or pack fewer fields"
        )


def _remove_others(folder: Path, keep: set[str]) -> None:
    """Remove the files of earlier copies; who has them open reads on."""
    for path in folder.glob("*.npy"):
        if path.name not in keep:
            files.remove_file(path)
