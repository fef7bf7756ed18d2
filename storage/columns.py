"""Reading rows of columns: from the packed copy where it has them, from the shards elsewhere."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from storage.common import Source
from storage.errors import StorageError
from storage.handles import read_shard
from storage.ids import IdArray

if TYPE_CHECKING:
    from storage.loading.packed import PackedCopy

__all__ = ["Columns"]


class _Column(NamedTuple):
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    packed: PackedCopy | None


class Columns:
    """The columns of some samples. Nothing is open here."""

    def __init__(self, source: Source, ids: IdArray, shard: IdArray, row: IdArray) -> None:
        """Remember where each sample is.

        Args:
            source: of the data set.
            ids: (n) samples.
            shard: (n) number of its shard in the manifest.
            row: (n) row of the shard.
        """
        self._source, self._ids, self._shard, self._row = source, ids, shard, row
        self._place: IdArray | None = None  # in the packed copy
        self._known: dict[str, _Column] = {}

    def one(self, name: str, row: int, dtype: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
        """Read one sample, as `many` does: (…)."""
        column = self._column(name)
        out = np.empty((1, *column.shape), column.dtype if dtype is None else dtype)
        if column.packed is not None:
            column.packed.read(column.name, [self._places.item(row)], [0], out)
        else:
            self._read_shard(column.name, self._shard.item(row), [self._row.item(row)], [0], out)
        return out[0]

    def many(
        self, name: str, index: npt.NDArray[np.int64], dtype: npt.DTypeLike | None = None
    ) -> npt.NDArray[Any]:
        """Read some samples.

        Args:
            name: of a field, or the full name of a column.
            index: (k) positions.
            dtype: to convert to, the column's by default.

        Raises:
            KeyError: there is no such field or column.
            DamagedFile: a file is missing, truncated or altered.
        """
        column = self._column(name)
        out = np.empty((len(index), *column.shape), column.dtype if dtype is None else dtype)
        if column.packed is not None:
            rows = self._places[index]
            order = np.argsort(rows, kind="stable")
            column.packed.read(column.name, rows[order].tolist(), order.tolist(), out)
            return out
        shards, rows = self._shard[index], self._row[index]
        order = np.lexsort((rows, shards))
        shards, listed, places = shards[order], rows[order].tolist(), order.tolist()
        cuts = (np.flatnonzero(np.diff(shards)) + 1).tolist()
        for start, end in pairwise([0, *cuts, len(listed)]):
            if start < end:
                part = slice(start, end)
                self._read_shard(column.name, int(shards[start]), listed[part], places[part], out)
        return out

    def mapped(self, name: str) -> npt.NDArray[Any]:
        """Map a column of the packed copy; see `Dataset.mapped`."""
        column = self._column(name)
        copy = column.packed
        if copy is None or not np.array_equal(self._ids, copy.ids):
            raise StorageError(
                f"{self._source.folder.path}: {name!r} of these samples is no packed array; map "
                "that of all: `open_dataset(…).packed().mapped(…)`, after `rekrylov pack`"
            )
        return copy.mapped(column.name)

    def _column(self, name: str) -> _Column:
        """What is known of a column, given by its full name or as the name of a field."""
        if name in self._known:
            return self._known[name]
        columns, copy = self._source.manifest["columns"], self._source.packed
        for full in (name, f"inputs/{name}", f"outputs/{name}", f"parameters/{name}"):
            if full in columns:
                kind = columns[full]
                packed = copy if copy is not None and full in copy.columns else None
                found = _Column(full, tuple(kind["shape"]), np.dtype(kind["dtype"]), packed)
                return self._known.setdefault(name, found)
        raise KeyError(f"{name!r} is neither a field nor one of {list(columns)}")

    @property
    def _places(self) -> IdArray:
        if self._place is None:
            assert self._source.packed is not None
            self._place = np.searchsorted(self._source.packed.ids, self._ids)
        return self._place

    def _read_shard(
        self, column: str, shard: int, rows: list[int], places: list[int], out: npt.NDArray[Any]
    ) -> None:
        source = self._source
        entry = source.manifest["shards"][shard]
        path = f"{source.shards}/{entry['file']}"
        read_shard(path, column, entry, source.verify, rows, places, out)
