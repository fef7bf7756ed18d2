"""Which batches are left, and which MPI group solves which."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage import DataFolder, Record, Segment, discard_shard, read_order, read_records

__all__ = ["Batch", "missing_batches", "split_chains"]


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


def missing_batches(folder: DataFolder, samples: int, data_key: str) -> list[Batch]:
    """Return the batches without a committed shard, in the order of the paths.

    Batches whose ids are all ≥ `samples` are left out. A record whose shard file is gone or
    has another size is not a commit any more: it is discarded and its batch solved again.
    """
    committed = set()
    for record in read_records(folder, data_key):
        if _is_whole(folder, record):
            committed.add((record.segment, record.batch))
        else:
            discard_shard(folder, record.segment, record.batch)
    return [
        batch
        for segment in read_order(folder.order)
        for batch in _batches(segment)
        if (batch.segment, batch.index) not in committed and batch.ids.min() < samples
    ]


def split_chains(batches: list[Batch], count: int) -> list[list[Batch]]:
    """Cut the list into `count` contiguous chains of about equal numbers of samples.

    A chain is solved by one group; what it recycles passes from batch to batch within it.
    """
    sizes = np.array([len(batch.ids) for batch in batches], dtype=float)
    middle = np.cumsum(sizes) - sizes / 2
    chain = np.minimum((middle * count / max(sizes.sum(), 1.0)).astype(int), count - 1)
    return [[b for b, c in zip(batches, chain, strict=True) if c == k] for k in range(count)]


def _batches(segment: Segment) -> list[Batch]:
    offsets = segment.offsets if segment.offsets is not None else np.zeros(1, dtype=np.int64)
    return [
        Batch(segment.index, b, segment.batch_ids(b), int(offsets[b]))
        for b in range(segment.batches)
    ]


def _is_whole(folder: DataFolder, record: Record) -> bool:
    if record.file is None:
        return True
    try:
        return (folder.shards / record.file).stat().st_size == record.bytes
    except FileNotFoundError:
        return False
