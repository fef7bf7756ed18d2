"""What all samples of a data set share: its manifest, and the tables of `spaces.h5`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from storage.errors import DamagedFile, RevisionMismatch
from storage.fields import Field, make_fields
from storage.folder import DataFolder
from storage.spaces import SpaceTree, spaces_hash

if TYPE_CHECKING:
    from storage.listed import Whole
    from storage.loading.packed import PackedCopy

__all__ = ["Common", "Source", "digest"]


@dataclass(frozen=True, eq=False)
class Source:
    """Where a data set is. No file is held open here.

    Attributes:
        folder: of the data set.
        manifest: `manifest.json`, or what the records say; without its ids if there is `whole`.
        has_manifest: False if there is no `manifest.json`.
        verify: compare each shard's SHA-256 when it is first opened.
        spaces: `spaces.h5`, not verified.
        shards: the folder of the shards.
        packed: the copy that fields are read from where it has them.
        whole: the manifest with all ids, where it is long.
    """

    folder: DataFolder
    manifest: dict[str, Any]
    has_manifest: bool
    verify: bool
    spaces: SpaceTree
    shards: str
    packed: PackedCopy | None = None
    whole: Whole | None = None

    @classmethod
    def of(
        cls,
        folder: DataFolder,
        manifest: dict[str, Any],
        verify: bool,
        has_manifest: bool = True,
        whole: Whole | None = None,
    ) -> Source:
        """Make the source of a folder."""
        tables, shards = SpaceTree(folder.spaces), os.fspath(folder.shards)
        return cls(folder, manifest, has_manifest, verify, tables, shards, whole=whole)


class Common:
    """The part of a data set that is the same for all views of it."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def path(self) -> Path:
        """The folder."""
        return self._source.folder.path

    @property
    def manifest(self) -> dict[str, Any]:
        """`manifest.json`, or what the records say where there is none."""
        whole = self._source.whole
        return self._source.manifest if whole is None else whole.value

    @property
    def has_manifest(self) -> bool:
        """False if the manifest is missing; there are no splits and statistics then."""
        return self._source.has_manifest

    @property
    def digest(self) -> str:
        """SHA-256 of the list of shards: what derived files say they were made from."""
        return digest(self._source.manifest)

    @property
    def columns(self) -> dict[str, dict[str, Any]]:
        """Column → its `dtype` and the `shape` of a sample."""
        return self._source.manifest["columns"]

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
        return self.tables("spaces")

    @property
    def mesh(self) -> Mapping[str, Any]:
        """`points` (nv, gdim), `cells` (nc, k) and what else describes the mesh."""
        return self.tables("mesh")

    @property
    def blocks(self) -> Mapping[str, Any]:
        """Mixed field → sub-field → its dofs in the mixed numbering; empty if there is none."""
        return self.tables("blocks")

    @property
    def derivatives(self) -> Mapping[str, Any]:
        """`<a>-<b>` → `matrix` (CSR) from space a to b, and its `operator`; empty if none."""
        return self.tables("derivatives")

    @property
    def hierarchy(self) -> Mapping[str, Any]:
        """`0` (the coarsest), `1`, … → `mesh`, `spaces`, `prolongations`; empty if none."""
        return self.tables("hierarchy")

    @property
    def times(self) -> npt.NDArray[np.float64] | None:
        """(T) times of all samples; None if there are none or they differ by sample."""
        tree = self._verified()
        return tree.get("times")

    @property
    def fields(self) -> dict[str, Field]:
        """Name → what is known of the field."""
        return make_fields(self.tables("fields"), [*self.inputs, *self.outputs])

    def _verified(self) -> SpaceTree:
        """The tree of `spaces.h5`, once its hash is seen to be the manifest's."""
        path, expected = self._source.folder.spaces, self._source.manifest["spaces_hash"]
        if not path.exists():
            raise DamagedFile(f"{path}: is missing; restore it from a copy, or run the spec again")
        if (found := spaces_hash(path)) != expected:
            raise RevisionMismatch(
                f"{path}: has hash {found[:10]}, the samples were made with {expected[:10]}; "
                "restore the file that belongs to them"
            )
        return self._source.spaces

    def tables(self, name: str) -> Mapping[str, Any]:
        """The tables of one group of `spaces.h5`, read when asked for; empty if it isn't there."""
        tree = self._verified()
        return tree.get(name, {})


def digest(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest's list of shards, see `Common.digest`."""
    shards = [[shard["file"], shard["sha256"]] for shard in manifest["shards"]]
    text = json.dumps([manifest["spaces_hash"], sorted(shards)])
    return hashlib.sha256(text.encode()).hexdigest()
