"""The reader: `open_dataset(path)`, with NumPy and h5py alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from storage.errors import DamagedFile, FormatMismatch, RevisionMismatch, StorageError
from storage.fields import Field, make_fields
from storage.folder import DataFolder
from storage.handles import shard_column
from storage.ids import IdArray, unpack_many
from storage.manifest import RULE, read_manifest, records_manifest
from storage.records import read_records
from storage.rows import read_rows
from storage.spaces import SpaceTree, spaces_hash
from storage.splits import split_ids

if TYPE_CHECKING:
    from storage.torch_dataset import TorchSamples

__all__ = ["Dataset", "Field", "open_dataset"]

type Rows = int | slice | npt.ArrayLike


@dataclass(frozen=True, eq=False)
class _Source:
    """What all views of a data set share. No file is held open here."""

    folder: DataFolder
    manifest: dict[str, Any]
    has_manifest: bool
    verify: bool
    spaces: SpaceTree
    shards: str


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
        return Dataset.from_manifest(folder, read_manifest(folder), verify=verify)
    except FileNotFoundError:
        manifest = records_manifest(folder, read_records(folder))
        return Dataset.from_manifest(folder, manifest, verify=verify, has_manifest=False)


class Dataset:
    """Samples of a data set, or of one of its splits, by ascending id. Picklable.

    `ds[3]` is a dict of arrays of one sample, `ds[3:9]` and `ds[[5, 1]]` of stacked ones.

    Attributes:
        ids: (n) sample ids.
    """

    def __init__(self, source: _Source, ids: IdArray, shard: IdArray, row: IdArray) -> None:
        self._source = source
        self.ids = ids
        self._shard = shard
        self._row = row

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
        shard = np.repeat(np.arange(len(sizes)), sizes)
        row = np.arange(len(ids)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        by_id = np.argsort(ids)
        source = _Source(
            folder,
            manifest,
            has_manifest,
            verify,
            SpaceTree(folder.spaces),
            os.fspath(folder.shards),
        )
        return cls(source, ids[by_id], shard[by_id], row[by_id])

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        names = f"{', '.join(self.inputs)} → {', '.join(self.outputs)}"
        return f"<Dataset {self.path.name}: {len(self)} samples, {names}>"

    def __getitem__(self, rows: Rows) -> dict[str, Any]:
        """Read samples: `id`, every field, and `times`, `times_mask` if they differ by sample."""
        names = [*self.inputs, *self.outputs]
        names += [name for name in ("times", "times_mask") if name in self.columns]
        index, single = self._index(rows), _is_single(rows)
        sample: dict[str, Any] = {"id": self.ids[index]}
        sample |= {name: self._read(name, index) for name in names}
        if single:
            return {"id": int(sample.pop("id")[0])} | {k: v[0] for k, v in sample.items()}
        return sample

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(len(self)))

    @property
    def path(self) -> Path:
        """The folder."""
        return self._source.folder.path

    @property
    def manifest(self) -> dict[str, Any]:
        """`manifest.json`, or what the records say where there is none."""
        return self._source.manifest

    @property
    def has_manifest(self) -> bool:
        """False if the manifest is missing; there are no splits and statistics then."""
        return self._source.has_manifest

    @property
    def columns(self) -> dict[str, dict[str, Any]]:
        """Column → its `dtype` and the `shape` of a sample."""
        return self.manifest["columns"]

    @property
    def inputs(self) -> list[str]:
        """Names of the input fields."""
        return [name[7:] for name in self.columns if name.startswith("inputs/")]

    @property
    def outputs(self) -> list[str]:
        """Names of the output fields."""
        return [name[8:] for name in self.columns if name.startswith("outputs/")]

    @property
    def parameters(self) -> list[str]:
        """Names of the parameters stored by sample."""
        return [name[11:] for name in self.columns if name.startswith("parameters/")]

    @property
    def statistics(self) -> dict[str, Any] | None:
        """`ids` and `fields` (mean, std, min, max) of the training split."""
        return self.manifest.get("statistics")

    @property
    def spaces(self) -> Mapping[str, Any]:
        """Space → its tables, read when asked for: `ds.spaces["u"]["grams/mass"]` (CSR)."""
        return self._tables("spaces")

    @property
    def mesh(self) -> Mapping[str, Any]:
        """`points` (nv, gdim), `cells` (nc, k) and what else describes the mesh."""
        return self._tables("mesh")

    @property
    def blocks(self) -> Mapping[str, Any]:
        """Mixed field → sub-field → its dofs in the mixed numbering; empty if there is none."""
        return self._tables("blocks")

    @property
    def times(self) -> npt.NDArray[np.float64] | None:
        """(T) times of all samples; None if there are none or they differ by sample."""
        tree = self._verified()
        return tree.get("times")

    @property
    def fields(self) -> dict[str, Field]:
        """Name → what is known of the field."""
        return make_fields(self._tables("fields"), [*self.inputs, *self.outputs])

    def split(self, name: str, n: int | None = None) -> Dataset:
        """Return the view of one split, or of exactly its first `n` ids.

        Raises:
            StorageError: there is no manifest, which says how to split.
            KeyError: there is no such split.
            ValueError: the split has fewer than `n` samples.
        """
        rule = self.manifest.get("splits")
        if rule is None:
            raise StorageError(f"{self.path}: has no splits; run `rekrylov finalise`")
        if rule["rule"] != RULE:
            raise FormatMismatch(
                f"{self.path}: is split by {rule['rule']!r}, this package knows {RULE!r}; "
                "use the version that wrote it"
            )
        if name not in rule["fractions"]:
            raise KeyError(f"split {name!r} is not one of {list(rule['fractions'])}")
        members = split_ids(self.ids, rule["seed"], rule["fractions"])[name]
        if n is not None and n > len(members):
            raise ValueError(f"split {name!r} has {len(members)} samples, {n} were asked for")
        return self.select(members[:n])

    def select(self, ids: npt.ArrayLike) -> Dataset:
        """Return the view of some ids, in that order; raises KeyError for an unknown one."""
        wanted = np.asarray(ids, dtype=np.int64).ravel()
        order = np.argsort(self.ids, kind="stable")
        place = np.searchsorted(self.ids, wanted, sorter=order)
        index = order[np.minimum(place, len(order) - 1)] if len(order) else wanted[:0]
        if len(index) != len(wanted) or np.any(self.ids[index] != wanted):
            missing = sorted(set(wanted.tolist()) - set(self.ids.tolist()))
            raise KeyError(f"{self.path}: samples {missing[:5]} are not stored (or failed)")
        return Dataset(self._source, self.ids[index], self._shard[index], self._row[index])

    def read(self, name: str, rows: Rows = slice(None)) -> npt.NDArray[Any]:
        """Read a field or column (`a`, `solve/iterations`) of some samples.

        Args:
            name: of a field, or the full name of a column.
            rows: position, slice, or index array; a position drops the first axis.

        Returns:
            (rows, …) in stored dtype.

        Raises:
            KeyError: there is no such field or column.
            DamagedShard: a shard is missing, truncated or altered.
        """
        values = self._read(name, self._index(rows))
        return values[0] if _is_single(rows) else values

    def column(self, name: str) -> npt.NDArray[Any]:
        """Read a whole column, such as `solve/iterations`: (n, …)."""
        return self.read(name)

    def by_shard(self) -> Iterator[npt.NDArray[np.int64]]:
        """Positions of the samples of one shard after the other, in stored order."""
        order = np.lexsort((self._row, self._shard))
        cuts = np.flatnonzero(np.diff(self._shard[order])) + 1
        return (rows for rows in np.split(order, cuts) if len(rows))

    def shard_of(self, row: int) -> int:
        """Number of the shard of a sample in `manifest["shards"]`."""
        return int(self._shard[row])

    def torch(
        self,
        inputs: list[str] | None = None,
        outputs: list[str] | None = None,
        dtype: str = "float32",
    ) -> TorchSamples:
        """Return a map-style PyTorch data set; see `storage.torch_dataset.torch_dataset`."""
        from storage.torch_dataset import torch_dataset

        return torch_dataset(self, inputs, outputs, dtype)

    def dask(self, name: str) -> Any:
        """Return a field or column as a lazy Dask array; see `storage.dask_arrays.dask_array`."""
        from storage.dask_arrays import dask_array

        return dask_array(self, name)

    def _index(self, rows: Rows) -> npt.NDArray[np.int64]:
        if isinstance(rows, slice):
            return np.arange(*rows.indices(len(self)))
        index = np.asarray(rows)
        if index.dtype == bool:
            index = np.flatnonzero(index)
        index = np.atleast_1d(index.astype(np.int64))
        wrong = (index < -len(self)) | (index >= len(self))
        if wrong.any():
            raise IndexError(f"sample {index[wrong][0]} of {len(self)}")
        return index % max(1, len(self))

    def _read(self, name: str, index: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        for column in (name, f"inputs/{name}", f"outputs/{name}"):
            if column in self.columns:
                break
        else:
            raise KeyError(f"{name!r} is neither a field nor one of {list(self.columns)}")
        kind = self.columns[column]
        out = np.empty((len(index), *kind["shape"]), dtype=kind["dtype"])
        shards, rows = self._shard[index], self._row[index]
        order = np.lexsort((rows, shards))
        for part in np.split(order, np.flatnonzero(np.diff(shards[order])) + 1):
            if len(part):
                entry = self.manifest["shards"][shards[part[0]]]
                path = f"{self._source.shards}/{entry['file']}"
                with shard_column(path, column, entry, self._source.verify) as dataset:
                    read_rows(dataset, rows[part], out, part)
        return out

    def _verified(self) -> SpaceTree:
        """The tree of `spaces.h5`, once its hash is seen to be the manifest's."""
        path, expected = self._source.folder.spaces, self.manifest["spaces_hash"]
        if not path.exists():
            raise DamagedFile(f"{path}: is missing; restore it from a copy, or run the spec again")
        if (found := spaces_hash(path)) != expected:
            raise RevisionMismatch(
                f"{path}: has hash {found[:10]}, the samples were made with {expected[:10]}; "
                "restore the file that belongs to them"
            )
        return self._source.spaces

    def _tables(self, name: str) -> Mapping[str, Any]:
        tree = self._verified()
        return tree.get(name, {})


def _is_single(rows: Rows) -> bool:
    return not isinstance(rows, slice) and np.ndim(rows) == 0
