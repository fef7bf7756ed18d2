"""The reader: `open_dataset(path)`, with NumPy and h5py alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from storage.columns import Columns
from storage.common import Source
from storage.definitions import defined
from storage.errors import DamagedFile
from storage.fields import Field
from storage.folder import DataFolder
from storage.function import StoredFunction, stored_function
from storage.ids import IdArray, ascending, unpack_many
from storage.listed import listed
from storage.loaded import Loading
from storage.manifest import parse_manifest, read_text, records_manifest
from storage.processes import each
from storage.records import read_records
from storage.rows import Rows, is_single, row_index
from storage.scalars import scalars
from storage.splits import members_of

__all__ = ["Dataset", "Field", "open_dataset"]

_WORTH = 32
"""Shards that are worth a process of their own."""


def open_dataset(path: str | os.PathLike[str], *, verify: bool = False) -> Dataset:
    """Open a data set for reading.

    Args:
        path: its folder.
        verify: compare each shard's SHA-256 when a process first opens it (reads it once more).

    Raises:
        FileNotFoundError: there is no data set.
        FormatMismatch: it has another format.
        DamagedFile: its manifest, or without one a record, is malformed.
    """
    folder = DataFolder(Path(path))
    if not folder.shards.is_dir():
        raise FileNotFoundError(f"{path}: is no data set (it has no folder 'shards')")
    try:
        text = read_text(folder)
    except FileNotFoundError:
        manifest = records_manifest(folder, read_records(folder))
        return Dataset.from_manifest(folder, manifest, verify=verify, has_manifest=False)
    if (long := listed(folder, text)) is not None:
        source = Source.of(folder, long.manifest, verify, whole=long.whole)
        return Dataset._placed(source, long.ids, long.sizes)
    return Dataset.from_manifest(folder, parse_manifest(folder, text), verify=verify)


class Dataset(Loading):
    """Samples of a data set, or of one of its splits, by ascending id. Picklable.

    `ds[3]` is a dict of arrays of one sample, `ds[3:9]` and `ds[[5, 1]]` of stacked ones.

    Attributes:
        ids: (n) sample ids.
    """

    def __init__(self, source: Source, ids: IdArray, shard: IdArray, row: IdArray) -> None:
        super().__init__(source)
        self.ids = ids
        self._shard = shard
        self._row = row
        self._columns = Columns(source, ids, shard, row)

    @classmethod
    def from_manifest(
        cls,
        folder: DataFolder,
        manifest: dict[str, Any],
        *,
        verify: bool = False,
        has_manifest: bool = True,
    ) -> Self:
        """Make the data set that a manifest describes; raises DamagedFile if it is malformed."""
        try:
            ids, sizes = unpack_many([shard["ids"] for shard in manifest["shards"]])
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedFile(
                f"{folder.manifest}: has a malformed shard list ({error}); run `rekrylov finalise`"
            ) from error
        return cls._placed(Source.of(folder, manifest, verify, has_manifest), ids, sizes)

    @classmethod
    def _placed(cls, source: Source, ids: IdArray, sizes: IdArray) -> Self:
        """Make the data set whose shards hold `sizes` of the ids, in turn."""
        by_id = ascending(ids)
        shard = np.repeat(np.arange(len(sizes)), sizes)[by_id]
        row = by_id - (np.cumsum(sizes) - sizes)[shard]
        return cls(source, ids[by_id], shard, row)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        names = f"{', '.join(self.inputs)} → {', '.join(self.outputs)}"
        return f"<Dataset {self.path.name}: {len(self)} samples, {names}>"

    def __getitem__(self, rows: Rows) -> dict[str, Any]:
        """Read samples: `id`, fields, parameters; `times`, `times_mask` if by sample."""
        names = [*self.inputs, *self.outputs, *self.parameters]
        names += [name for name in ("times", "times_mask") if name in self.columns]
        index, single = row_index(rows, len(self)), is_single(rows)
        sample: dict[str, Any] = {"id": self.ids[index]}
        sample |= {name: self._columns.many(name, index) for name in names}
        if single:
            return {"id": int(sample.pop("id")[0])} | {k: v[0] for k, v in sample.items()}
        return sample

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(len(self)))

    def split(self, name: str, n: int | None = None) -> Dataset:
        """Return the view of one split, or of exactly its first `n` ids.

        Args:
            name: `train`, `validation`, `test`, or `<definition>/<split>`.
            n: how many; None for all.

        Raises:
            BadSelection: there is no such definition.
            StorageError: there is no manifest, which says how to split.
            FormatMismatch: it splits by an unknown rule.
            KeyError: there is no such split.
            ValueError: the split has fewer than `n` samples.
        """
        if "/" in name:
            definition, name = name.split("/", 1)
            return self.define(definition).split(name, n)
        members = members_of(name, n, self.ids, self._source.manifest.get("splits"), self.path)
        return self.select(members)

    def define(self, name: str) -> Dataset:
        """Return the view of a problem definition: its fields, its splits, its statistics.

        All samples are in it; take its splits `train`, `validation`, `test` and, where it has
        one, `ood`.

        Raises:
            BadSelection: there is no such definition.
        """
        source = replace(self._source, manifest=defined(self.manifest, name), whole=None)
        return Dataset(source, self.ids, self._shard, self._row)

    def select(self, ids: npt.ArrayLike) -> Dataset:
        """Return the view of some ids, in that order; raises KeyError for an unknown one."""
        wanted = np.asarray(ids, dtype=np.int64).ravel()
        order = np.argsort(self.ids, kind="stable")
        place = np.searchsorted(self.ids, wanted, sorter=order)
        index = order[np.minimum(place, len(order) - 1)] if len(order) else wanted[:0]
        if len(index) != len(wanted) or np.any(self.ids[index] != wanted):
            missing = sorted(set(wanted.tolist()) - set(self.ids.tolist()))
            raise KeyError(f"{self.path}: samples {missing[:5]} are not stored (or failed)")
        return self.take(index)

    def take(self, rows: Rows) -> Dataset:
        """Return the view of some positions, in that order."""
        index = row_index(rows, len(self))
        return Dataset(self._source, self.ids[index], self._shard[index], self._row[index])

    def read(
        self, name: str, rows: Rows = slice(None), dtype: npt.DTypeLike | None = None
    ) -> npt.NDArray[Any]:
        """Read a field or column (`a`, `solve/iterations`) of some samples.

        Args:
            name: of a field, or the full name of a column.
            rows: position, slice, or index array; a position drops the first axis.
            dtype: to convert to while reading, the stored one by default.

        Returns:
            (rows, …).

        Raises:
            KeyError: there is no such field or column.
            DamagedShard: a shard is missing, truncated or altered.
        """
        if type(rows) is int and 0 <= rows < len(self.ids):  # as samplers ask
            return self._columns.one(name, rows, dtype)
        values = self._columns.many(name, row_index(rows, len(self)), dtype)
        return values[0] if is_single(rows) else values

    def function(self, name: str, row: int, step: int = -1) -> StoredFunction:
        """Return a field of one sample as a function that can be evaluated anywhere.

        It lives on the mesh of that sample: where the samples have `inputs/displacement`, its
        points are moved by it (the displacement itself is on the reference mesh).

        Args:
            name: of a field.
            row: position of the sample.
            step: of a solution in time, among those that count; the last by default.

        Raises:
            KeyError: there is no such field.
            IndexError: there is no such sample or step.
            DamagedShard: a shard is missing, truncated or altered.
        """
        return stored_function(self, name, row, step)

    @property
    def scalars(self) -> dict[str, npt.NDArray[Any]]:
        """Numbers of each sample, name → (n): see `storage.scalars.scalars`."""
        return scalars(self)

    def mapped(self, name: str) -> npt.NDArray[Any]:
        """Map a packed field into memory, read-only: (n, …) of all samples, by ascending id.

        Raises:
            KeyError: there is no such field or column.
            StorageError: it isn't packed, or these are some of the samples only.
            DamagedFile: its file is missing or has another size.
        """
        return self._columns.mapped(name)

    def packed(self) -> Dataset:
        """Return the view that reads fields in single precision from the packed copy.

        It is split, selected, read and loaded as any other. What isn't packed is read from the
        shards.

        Raises:
            StorageError: there is none, or it is of other samples; `rekrylov pack` makes it.
            DamagedFile: its index is malformed.
        """
        from storage.loading.packed import open_packed

        copy = open_packed(self, self._source.verify)
        columns = {
            name: kind | {"dtype": copy.columns.get(name, kind)["dtype"]}
            for name, kind in self.columns.items()
        }
        manifest = self.manifest | {"columns": columns}
        source = replace(self._source, manifest=manifest, packed=copy, whole=None)
        return Dataset(source, self.ids, self._shard, self._row)

    def column(self, name: str) -> npt.NDArray[Any]:
        """Read a whole column, such as `solve/iterations`: (n, …)."""
        return self.read(name)

    def by_shard(self) -> Iterator[npt.NDArray[np.int64]]:
        """Positions of the samples of one shard after the other, in stored order."""
        order = np.lexsort((self._row, self._shard))
        cuts = np.flatnonzero(np.diff(self._shard[order])) + 1
        return (rows for rows in np.split(order, cuts) if len(rows))

    def each_shard[R](self, work: Callable[[Dataset], R], workers: int = 1) -> Iterator[R]:
        """Yield what `work` returns for the view of each shard's samples, as `by_shard` has them.

        Args:
            work: what is done; where there are several processes it is pickled.
            workers: number of processes that read shards; with more than one, the calling script
                needs the usual `if __name__ == "__main__":`.
        """
        manifest = self._source.manifest
        shards = [{k: v for k, v in s.items() if k != "ids"} for s in manifest["shards"]]
        source = replace(self._source, manifest=manifest | {"shards": shards}, whole=None)
        views = [(self.ids[i], self._shard[i], self._row[i]) for i in self.by_shard()]
        return each(_OnView(work, source), views, workers, _WORTH)

    def shard_of(self, row: int) -> int:
        """Number of the shard of a sample in `manifest["shards"]`."""
        return int(self._shard[row])


@dataclass(frozen=True)
class _OnView[R]:
    """Work on the view of some samples; the ids of all the others aren't sent along."""

    work: Callable[[Dataset], R]
    source: Source

    def __call__(self, view: tuple[IdArray, IdArray, IdArray]) -> R:
        return self.work(Dataset(self.source, *view))
