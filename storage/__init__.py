"""Data sets on disk: shards, records, manifest, spaces, the reader and the checks.

Needs NumPy and h5py; starts no MPI. `docs/format.md` describes the files.
"""

import sys

if "dolfinx.fem.petsc" in sys.modules and "h5py" not in sys.modules:
    raise ImportError(
        "dolfinx.fem.petsc was imported before h5py, and the HDF5 libraries of the two clash: "
        "import h5py (or rekrylov) before dolfinx.fem.petsc"
    )

from storage.checks import Finding, check_dataset
from storage.dataset import Dataset, Field, open_dataset
from storage.errors import (
    BadSelection,
    DamagedFile,
    DamagedShard,
    FormatMismatch,
    ReadOnly,
    RevisionMismatch,
    StorageError,
    StorageFull,
)
from storage.folder import FORMAT, DataFolder
from storage.function import StoredFunction, moved_mesh
from storage.manifest import build_manifest, read_manifest
from storage.order import (
    Segment,
    append_segment,
    read_features,
    read_order,
    rebuild_order,
    set_path,
)
from storage.records import Record, read_record, read_records
from storage.shards import ShardHeader, discard_shard, write_shard
from storage.spaces import read_spaces, spaces_hash, tree_hash, write_spaces
from storage.splits import split_ids, split_values

__all__ = [
    "FORMAT",
    "BadSelection",
    "DamagedFile",
    "DamagedShard",
    "DataFolder",
    "Dataset",
    "Field",
    "Finding",
    "FormatMismatch",
    "ReadOnly",
    "Record",
    "RevisionMismatch",
    "Segment",
    "ShardHeader",
    "StorageError",
    "StorageFull",
    "StoredFunction",
    "append_segment",
    "build_manifest",
    "check_dataset",
    "discard_shard",
    "moved_mesh",
    "open_dataset",
    "read_features",
    "read_manifest",
    "read_order",
    "read_record",
    "read_records",
    "read_spaces",
    "rebuild_order",
    "set_path",
    "spaces_hash",
    "split_ids",
    "split_values",
    "tree_hash",
    "write_shard",
    "write_spaces",
]
