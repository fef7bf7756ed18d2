"""What of a data set is there."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.spec import Spec, data_key
from storage import DataFolder, read_order, read_records

__all__ = ["Status", "status"]


@dataclass(frozen=True)
class Status:
    """Counts of one data set.

    Attributes:
        folder: Where it is.
        samples: Samples the spec asks for.
        stored: Samples in committed shards, of those.
        failed: Samples given up, of those.
        missing: Samples not solved yet, of those.
        shards: Committed shards.
        ordered: Samples that have a place on a path.
        finalised: Whether there is a manifest.
    """

    folder: str
    samples: int
    stored: int
    failed: int
    missing: int
    shards: int
    ordered: int
    finalised: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def status(spec: Spec, folder: DataFolder) -> Status:
    """Count what is there; reads records only.

    Raises:
        StorageError: A record or the order file is damaged.
    """
    records = read_records(folder, data_key(spec)) if folder.shards.exists() else []
    stored = sum(int(np.sum(np.asarray(r.ids, dtype=np.int64) < spec.samples)) for r in records)
    failed = sum(f["id"] < spec.samples for r in records for f in r.failures)
    segments = read_order(folder.order)
    return Status(
        folder=str(folder.path),
        samples=spec.samples,
        stored=stored,
        failed=failed,
        missing=spec.samples - stored - failed,
        shards=len(records),
        ordered=sum(len(s.ids) for s in segments if s.path is not None),
        finalised=folder.manifest.exists(),
    )
