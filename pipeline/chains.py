"""Which batches are left, and which MPI group solves which."""

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from storage import (
    DamagedFile,
    DataFolder,
    Record,
    RevisionMismatch,
    Segment,
    discard_shard,
    read_order,
    read_records,
    spaces_hash,
)

__all__ = ["Batch", "Part", "all_batches", "is_whole", "missing_batches", "split_chains"]


@dataclass(frozen=True, eq=False)
class Batch:
    """A contiguous piece of a segment's path: one shard.

    Attributes:
        segment: Number of the segment.
        index: Number of the batch in it.
        ids: Sample ids in the order of solving.
        start: Position of the first one on the path.
    """

    segment: int
    index: int
    ids: NDArray[np.int64]
    start: int

    @property
    def key(self) -> tuple[int, int]:
        """(segment, batch), as its record is named."""
        return self.segment, self.index


@dataclass(frozen=True)
class Part:
    """One of several contiguous chains of all batches, solved or not: a job of its own.

    Attributes:
        number: Which one, from 1.
        count: How many there are.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Part":
        """Return the part that "K/N" names.

        Raises:
            ValueError: It isn't 1 ≤ K ≤ N.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise ValueError(f"got {text!r}; expected K/N with 1 <= K <= N, for example 3/10")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, batches: "list[Batch]") -> "list[Batch]":
        """Return this part of all batches of a data set."""
        return split_chains(batches, self.count)[self.number - 1]


def all_batches(folder: DataFolder) -> list[Batch]:
    """Return every batch of a data set, solved or not, in the order of the paths."""
    return [batch for segment in read_order(folder.order) for batch in _batches(segment)]


def missing_batches(
    folder: DataFolder,
    ids: range,
    data_key: str,
    retry_failed: bool = False,
    part: Part | None = None,
) -> list[Batch]:
    """Return the batches without a committed shard, in the order of the paths.

    Batches without any of `ids`, and those outside of `part`, are left out. A record whose shard
    file is gone or has another size is not a commit any more: it is discarded and its batch solved
    again. So is a batch with failed samples, if `retry_failed` asks for it. Of a part, only its own
    records are looked at.

    Raises:
        RevisionMismatch: A batch was solved on other spaces than those in `spaces.h5`.
        DamagedFile: A batch holds other samples than `order.h5` says.
    """
    if part is None:
        records = read_records(folder, data_key)  # first: a segment may be added meanwhile
        batches = all_batches(folder)
    else:
        batches = part.of(all_batches(folder))
        records = read_records(folder, data_key, {batch.key for batch in batches})
    missing = {batch.key: batch for batch in batches}
    spaces = spaces_hash(folder.spaces)
    for record in records:
        if not is_whole(folder, record) or (retry_failed and record.failures):
            discard_shard(folder, record.segment, record.batch)
            continue
        name = folder.record(record.segment, record.batch)
        batch = missing.pop((record.segment, record.batch), None)
        if batch is None or record.all_ids != frozenset(batch.ids.tolist()):
            raise DamagedFile(
                f"{name}: holds other samples than {folder.order.name} says; "
                "run `rekrylov repair`, or restore the one that belongs to the shards"
            )
        if record.spaces_hash != spaces:
            raise RevisionMismatch(
                f"{name}: was made with spaces {record.spaces_hash[:10]}, {folder.spaces.name} "
                f"is {spaces[:10]}; restore the one that belongs to the shards"
            )
    return [batch for batch in missing.values() if _any(batch.ids, ids)]


def _any(found: NDArray[np.int64], ids: range) -> bool:
    return bool(np.any((found >= ids.start) & (found < ids.stop)))


def split_chains(batches: list[Batch], count: int) -> list[list[Batch]]:
    """Cut the list into `count` contiguous chains of about equal numbers of samples.

    A chain is solved by one group; what it recycles passes from batch to batch within it.
    """
    sizes = np.array([len(batch.ids) for batch in batches], dtype=float)
    middle = np.cumsum(sizes) - sizes / 2
    chain = np.minimum((middle * count / max(sizes.sum(), 1.0)).astype(int), count - 1)
    cuts = np.searchsorted(chain, np.arange(count + 1)).tolist()
    return [batches[start:end] for start, end in pairwise(cuts)]


def _batches(segment: Segment) -> list[Batch]:
    offsets = segment.offsets if segment.offsets is not None else np.zeros(1, dtype=np.int64)
    return [
        Batch(segment.index, b, segment.batch_ids(b), int(offsets[b]))
        for b in range(segment.batches)
        if offsets[b] < offsets[b + 1]
    ]


def is_whole(folder: DataFolder, record: Record) -> bool:
    """Whether the shard of a record is there in its full size; else it is no commit any more."""
    if record.file is None:
        return True
    try:
        return (folder.shards / record.file).stat().st_size == record.bytes
    except FileNotFoundError:
        return False
