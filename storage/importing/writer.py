"""Samples of another file into shards, a block at a time: nothing as large as the file is held."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.errors import StorageError
from storage.folder import FORMAT, DataFolder
from storage.importing.layout import Layout
from storage.importing.parts import Role
from storage.importing.sources import SourceFile
from storage.importing.tensor_grid import grid_mesh, grid_space
from storage.order import append_segment, set_path
from storage.shards import ShardHeader, write_shard
from storage.spaces import write_spaces

__all__ = ["content_key", "write_samples"]

type Columns = dict[str, npt.NDArray[Any]]
type Progress = Callable[[int], None]

ROLES: tuple[Role, ...] = ("input", "parameter", "output")
FIELDS: tuple[Role, ...] = ("input", "output")
SPACE = "P1"
_SHARD = 32 << 20
_MOST = 256
_TOO_LARGE = np.float64(1e150)  # squares of larger ones are infinite, and so are statistics


def content_key(source: SourceFile, layout: Layout, progress: Progress | None = None) -> str:
    """Return the data key: SHA-256 of the samples as they will be stored, and of the grid.

    The same samples have the same key, whatever file they come from. Reads all of them.

    Raises:
        StorageError: a value isn't finite, or beyond 1e150.
    """
    digests = {name: hashlib.sha256() for part in layout.parts for name in part.fields}
    for start, columns in _blocks(source, layout):
        for name, values in columns.items():
            _check_finite(source, name, values, start)
            digests[name].update(np.ascontiguousarray(values).data)
        if progress is not None:
            progress(start + len(values))
    what: dict[str, Any] = {
        "format": FORMAT,
        "grid": [layout.shape, layout.low, layout.high],
        "times": layout.times,
        "dtype": layout.dtype,
        "samples": layout.samples,
    }
    for role in ROLES:
        what[role] = {name: digests[name].hexdigest() for name in layout.fields(role)}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def write_samples(
    source: SourceFile,
    layout: Layout,
    folder: DataFolder,
    data_key: str,
    progress: Progress | None = None,
) -> None:
    """Write spaces, order and shards of a data set; what is committed already is left.

    Raises:
        StorageFull, ReadOnly: what was committed is safe, the same call goes on.
        RevisionMismatch: the folder holds other samples.
    """
    folder.create()
    digest = write_spaces(folder.spaces, _tree(layout, data_key))
    ids = np.arange(layout.samples)
    offsets = [*range(0, layout.samples, _rows(layout)), layout.samples]
    append_segment(folder.order, ids)
    set_path(folder.order, 0, ids, offsets)
    committed = folder.committed()
    for batch, (start, end) in enumerate(zip(offsets[:-1], offsets[1:], strict=True)):
        if (0, batch) not in committed:
            columns = _named(layout, _block(source, layout, start, end))
            columns |= {"samples/id": ids[start:end], "samples/order": ids[start:end]}
            attributes = {name: _attributes(name) for name in columns if "puts/" in name}
            header = ShardHeader(data_key, 0, batch, digest)
            write_shard(folder, header, columns, attributes, dtype=layout.dtype)
        if progress is not None:
            progress(end)


def _blocks(source: SourceFile, layout: Layout) -> Iterator[tuple[int, Columns]]:
    rows = _rows(layout)
    for start in range(0, layout.samples, rows):
        yield start, _block(source, layout, start, min(start + rows, layout.samples))


def _block(source: SourceFile, layout: Layout, start: int, end: int) -> Columns:
    """Fields of the samples from start to end, in the type they are stored in."""
    dtype = np.dtype(layout.dtype).newbyteorder("<")
    columns: Columns = {}
    read: Columns = {}
    for part in layout.parts:
        if part.key not in read:  # one array may give inputs and outputs
            read[part.key] = source.rows(part.key, part.axes.index("n"), start, end)
        columns |= part.columns(read[part.key])
    numbers = layout.fields("parameter")
    return {
        name: np.ascontiguousarray(values, dtype="<f8" if name in numbers else dtype)
        for name, values in columns.items()
    }


def _rows(layout: Layout) -> int:
    """Samples a shard: a sixteenth of them, at most 256 and at most 32 MiB."""
    outputs = layout.fields("output")
    fields = len(layout.fields("input")) + len(outputs) * len(layout.times or (0,))
    size = np.dtype(layout.dtype).itemsize * fields * int(np.prod(layout.shape))
    return int(max(1, min(-(-layout.samples // 16), _MOST, _SHARD // size)))


def _check_finite(source: SourceFile, name: str, values: npt.NDArray[Any], start: int) -> None:
    good = (np.abs(values) < _TOO_LARGE).reshape(len(values), -1).all(axis=1)  # no NaN is
    if not good.all():
        bad = (start + np.flatnonzero(~good)).tolist()
        raise StorageError(
            f"{source.path}: {name} holds NaN, Inf or numbers beyond 1e150 in sample {bad[0]} "
            f"({len(bad)} of the samples up to {start + len(values) - 1}); leave it out of the file"
        )


def _tree(layout: Layout, data_key: str) -> dict[str, Any]:
    mesh = grid_mesh(layout.shape, layout.low, layout.high)
    space = grid_space(mesh, layout.shape, layout.low, layout.high)
    fields = {
        name: {"role": role, "space": SPACE} | _attributes(f"{role}s/{name}")
        for role in FIELDS
        for name in layout.fields(role)
    }
    tree: dict[str, Any] = {"format": FORMAT, "data_key": data_key, "mesh": mesh}
    tree |= {"spaces": {SPACE: space}, "fields": fields}
    return tree if layout.times is None else tree | {"times": np.array(layout.times)}


def _attributes(column: str) -> dict[str, str]:
    """What is known of an imported field; its units aren't."""
    return {"space": SPACE, "units": "1", "description": f"{column.split('/')[1]}, imported"}


def _named(layout: Layout, columns: Columns) -> Columns:
    roles = {name: role for role in ROLES for name in layout.fields(role)}
    return {f"{roles[name]}s/{name}": values for name, values in columns.items()}
