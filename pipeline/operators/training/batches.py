"""Batches of encoded samples, read ahead of the device.

Data that fit are kept in memory. Others are read batch by batch, in an order that is random
within a window of whole shards: the shards of a window stay in the system's page cache, so each
is read from the disk once an epoch, and our own memory holds a few batches only.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from operator import itemgetter
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from pipeline.operators.config import TrainConfig
from pipeline.operators.errors import TrainingError

__all__ = ["Batch", "Batches", "Samples"]

AHEAD = 2
CHUNK = 64

type Rows = NDArray[np.int64]
type Step = list[tuple[Batch, float]]


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples as the network takes them; the first axis of every tensor counts samples.

    Attributes:
        ids: (B) int64.
        x: (B, n, c) encoded inputs, float32.
        y: field → (B, T, dim) normalised outputs, float32.
        size: field → (B) norm of the truth in units of the targets, for relative errors.
        extra: what a loss needs besides.
    """

    ids: Tensor
    x: Tensor
    y: dict[str, Tensor]
    size: dict[str, Tensor]
    extra: dict[str, Tensor]

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Return the batch with `change` applied to each of its tensors."""
        parts = (getattr(self, item.name) for item in fields(self))
        return Batch(*(_map(part, change) for part in parts))

    def named(self) -> dict[str, Tensor]:
        """All tensors; names of fields come after `y.`, `size.` and `extra.`."""
        groups = {"y": self.y, "size": self.size, "extra": self.extra}
        items = {f"{group}.{k}": v for group, part in groups.items() for k, v in part.items()}
        return {"ids": self.ids, "x": self.x} | items


class Samples(Protocol):
    """The training split behind its encoder."""

    def __len__(self) -> int: ...

    def load(self, rows: Rows) -> Batch:
        """Read and encode samples. Called from another thread than the loop's."""
        ...

    def blocks(self) -> Sequence[Rows]:
        """Rows that are stored together, as `list(dataset.by_shard())`."""
        ...


class Batches:
    """Every sample once an epoch, in steps of the optimiser."""

    def __init__(
        self,
        samples: Samples,
        config: TrainConfig,
        rank: int = 0,
        world: int = 1,
        pin: bool = False,
    ) -> None:
        """Read the split if it needs at most `config.memory_mib`.

        Args:
            samples: of all processes.
            config: batch_size, accumulate, seed, memory_mib and workers are used.
            rank: of this process.
            world: number of processes; each gets its own part of every step.
            pin: put batches in page-locked memory, for CUDA.

        Raises:
            TrainingError: a value is not finite.
        """
        self.samples, self.config, self.rank, self.world, self.pin = (
            samples,
            config,
            rank,
            world,
            pin,
        )
        self.group = config.batch_size * config.accumulate * world
        first = samples.load(np.zeros(1, np.int64))
        bytes_each = sum(tensor.nbytes for tensor in first.named().values())
        self.window = max(self.group, config.memory_mib * 2**20 // max(1, bytes_each))
        self.in_memory = self.window >= len(samples)
        self._kept = _keep(samples, first) if self.in_memory else None
        self._plan: list[Rows] = []
        self._loader: DataLoader[Any] = DataLoader(
            _Loaded(samples),
            batch_sampler=self._plan,  # type: ignore[arg-type]
            collate_fn=_same,
            num_workers=config.workers,
            persistent_workers=config.workers > 0,
            multiprocessing_context="spawn" if config.workers else None,  # forked ones break MPI
            generator=torch.Generator(),  # not the network's random numbers
        )

    @property
    def steps(self) -> int:
        """Steps of the optimiser in an epoch."""
        return -(-len(self.samples) // self.group)

    def order(self, epoch: int) -> Rows:
        """Return all rows in the order of an epoch, a function of (seed, epoch) only."""
        rng = np.random.default_rng((self.config.seed, epoch))
        if self.in_memory:
            return rng.permutation(len(self.samples))
        blocks = self.samples.blocks()
        rows = np.concatenate([blocks[k] for k in rng.permutation(len(blocks))])
        windows = range(0, len(rows), self.window)
        return np.concatenate([rng.permutation(rows[k : k + self.window]) for k in windows])

    def epoch(self, number: int, start: int = 0) -> Generator[Step]:
        """Yield steps: batches of this process, each with the weight of its mean loss.

        The gradient of a step is the mean over its samples on all processes, however unequal
        their parts are: the weight is (samples of the batch) · world / (samples of the step).

        Args:
            number: of the epoch, from 1.
            start: skip so many steps.

        Raises:
            TrainingError: a value is not finite.
            Exception: whatever `samples.load` raises.
        """
        order = self.order(number)
        groups = range(start * self.group, len(order), self.group)
        plan = [self._parts(order[k : k + self.group]) for k in groups]
        with closing(
            _ahead(lambda: self._read([rows for step in plan for rows, _ in step]))
        ) as read:
            for step in plan:
                yield [(next(read), weight) for _, weight in step]

    def _parts(self, group: Rows) -> list[tuple[Rows, float]]:
        """Split a step's rows over processes, then into batches."""
        mine, size = group[self.rank :: self.world], self.config.batch_size
        if not len(mine):  # all processes must take part in the exchange of gradients
            return [(group[:1], 0.0)]
        parts = [mine[k : k + size] for k in range(0, len(mine), size)]
        return [(rows, len(rows) * self.world / len(group)) for rows in parts]

    def _read(self, plan: list[Rows]) -> Iterator[Batch]:
        if self._kept is not None:
            for rows in plan:
                yield self._pinned(self._kept.map(itemgetter(torch.from_numpy(rows))))
            return
        self._plan[:] = plan
        for batch in self._loader:
            if isinstance(batch, Exception):
                raise batch
            yield self._pinned(batch)

    def _pinned(self, batch: Batch) -> Batch:
        return batch.map(Tensor.pin_memory) if self.pin else batch


class _Loaded(TorchDataset[Any]):
    """Batches by rows. Errors are returned: PyTorch would wrap them in a worker's traceback."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __getitems__(self, rows: Rows) -> Batch | Exception:
        try:
            return _checked(self.samples.load(np.asarray(rows)))
        except Exception as error:
            return error


def _same(batch: Any) -> Any:
    return batch


def _ahead[T](make: Callable[[], Iterator[T]]) -> Generator[T]:
    """Iterate in another thread, `AHEAD` items in advance; it ends with the iterator."""
    items: queue.Queue[Any] = queue.Queue(AHEAD)
    ended, end = threading.Event(), object()

    def put(item: Any) -> None:
        while not ended.is_set():
            try:
                return items.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in make():
                put((item, None))
                if ended.is_set():
                    return
            put((end, None))
        except BaseException as error:
            put((end, error))

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while True:
            item, error = items.get()
            if error is not None:
                raise error
            if item is end:
                return
            yield item
    finally:
        ended.set()
        thread.join()


def _keep(samples: Samples, first: Batch) -> Batch:
    """Load all samples."""
    count = len(samples)
    kept = first.map(lambda tensor: tensor.new_empty((count, *tensor.shape[1:])))
    for block in samples.blocks():
        for k in range(0, len(block), CHUNK):
            rows = block[k : k + CHUNK]
            loaded = _checked(samples.load(rows)).named()
            for name, tensor in kept.named().items():
                tensor[torch.from_numpy(rows)] = loaded[name]
    return kept


def _checked(batch: Batch) -> Batch:
    for name, tensor in batch.named().items():
        finite = torch.isfinite(tensor).reshape(len(tensor), -1).all(dim=1)
        if not finite.all():
            bad = int(batch.ids[~finite][0])
            what = "the inputs" if name == "x" else f"field {name.partition('.')[2]!r}"
            raise TrainingError(
                f"{what} of sample {bad} are not finite, training needs finite numbers; leave the "
                "sample out, or run `rekrylov check`"
            )
    return batch


def _map(part: Tensor | dict[str, Tensor], change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(part, Tensor):
        return change(part)
    return {name: change(tensor) for name, tensor in part.items()}
