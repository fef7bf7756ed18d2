"""What of a data set is there."""

from collections import Counter
from collections.abc import Container
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.chains import Part, all_batches, is_whole
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
        shards: Committed shards, of the part if it is of one.
        ordered: Samples that have a place on a path.
        finalised: Whether there is a manifest.
        reasons: Why samples failed, and how many for each reason.
    """

    folder: str
    samples: int
    stored: int
    failed: int
    missing: int
    shards: int
    ordered: int
    finalised: bool
    reasons: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def status(spec: Spec, folder: DataFolder, part: Part | None = None) -> Status:
    """Count what is there, of the whole or of a part; reads records only.

    Raises:
        StorageError: A record or the order file is damaged.
    """
    asked: Container[int] = spec.ids
    samples, mine = spec.samples, None
    if part is not None:
        batches = part.of(all_batches(folder))
        mine = {batch.key for batch in batches}
        asked = {i for batch in batches for i in batch.ids.tolist() if i in spec.ids}
        samples = len(asked)
    found = read_records(folder, data_key(spec), mine) if folder.shards.exists() else []
    records = [record for record in found if is_whole(folder, record)]
    stored = sum(i in asked for record in records for i in record.ids)
    failures = [f for r in records for f in r.failures if f["id"] in asked]
    segments = read_order(folder.order)
    return Status(
        folder=str(folder.path),
        samples=samples,
        stored=stored,
        failed=len(failures),
        missing=samples - stored - len(failures),
        shards=len(records),
        ordered=sum(len(s.ids) for s in segments if s.path is not None),
        finalised=folder.manifest.exists(),
        reasons=dict(Counter(f["reason"] for f in failures)),
    )
