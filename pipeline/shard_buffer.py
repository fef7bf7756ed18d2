"""The samples of one batch in memory, until they are committed as a shard."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.chains import Batch
from pipeline.march import Outcome
from pipeline.problem import parameters
from pipeline.spec import Spec, data_key
from storage import DataFolder, ShardHeader, write_shard

__all__ = ["ShardBuffer"]

Array = NDArray[np.float64]


class ShardBuffer:
    """Collects verified samples and failures of a batch; bounded by the size of two shards.

    While a shard is written, hashed, synced and read again by a thread, the next one fills: a disk
    that takes its time would otherwise be waited for, by all ranks that write to it.
    """

    def __init__(self, spec: Spec, folder: DataFolder, spaces: Any, spaces_hash: str) -> None:
        self._spec, self._folder, self._hash = spec, folder, spaces_hash
        self._attributes = {
            f"{f['role']}s/{name}": {k: f[k] for k in ("space", "units", "description")}
            for name, f in spaces["fields"].items()
        }
        self._attributes |= {
            f"parameters/{p.name}": {"units": p.units, "description": p.description}
            for p in parameters(spec)
        }
        self._writer = ThreadPoolExecutor(1, "commit")
        self._written: Future[Any] | None = None
        self._clear()

    def _clear(self) -> None:
        self._rows: dict[str, list[Any]] = {}
        self._failures: list[dict[str, Any]] = []
        self._ladders: dict[str, list[str]] = {}
        self._pilots: list[dict[str, Any]] = []
        self._count = 0
        self._seconds = {"draw": 0.0, "assemble": 0.0, "solve": 0.0}
        self._start = time.perf_counter()

    def __len__(self) -> int:
        """Samples and failures held."""
        return self._count

    def add(
        self,
        outcome: Outcome,
        inputs: dict[str, Array],
        seconds: dict[str, float],
        outputs: dict[str, Array],
    ) -> None:
        """Take the outcome of one sample.

        Args:
            outcome: How its solves went.
            inputs: Its input columns.
            seconds: Seconds of drawing and assembling.
            outputs: Its output columns, empty if it failed.
        """
        position = self._count
        self._count += 1
        for name, value in {**seconds, "solve": outcome.seconds}.items():
            self._seconds[name] += value
        if outcome.ladder:
            self._ladders[str(outcome.id)] = list(outcome.ladder)
        if not outcome.converged:
            self._failures.append(_failure(outcome))
            return
        rho = outcome.residuals
        row: dict[str, Any] = {
            "samples/id": outcome.id,
            "samples/order": position,
            "solve/iterations": outcome.iterations,
            "solve/systems": outcome.systems,
            "solve/true_residual": rho[0] if len(rho) == 1 else np.array(rho),
            "solve/reason": outcome.code,
            "solve/seconds": outcome.seconds,
            **outputs,
            **inputs,
        }
        for name, value in row.items():
            self._rows.setdefault(name, []).append(value)

    def note_pilot(self, record: dict[str, Any]) -> None:
        """Keep the evidence for a strategy, in the record of the shard that is being filled."""
        self._pilots.append(record)

    def commit(self, batch: Batch) -> None:
        """Begin to write the shard and its record, and start anew; waits for the one before.

        Raises:
            StorageError: The one before can't be written.
        """
        columns = {name: np.array(r, dtype=_TYPES.get(name)) for name, r in self._rows.items()}
        columns.setdefault("samples/id", np.empty(0, dtype=np.int64))
        if "samples/order" in columns:
            columns["samples/order"] += batch.start
        info = {
            "seconds": {**self._seconds, "all": time.perf_counter() - self._start},
            "ended": time.time(),
            "ladders": self._ladders,
            "pilots": self._pilots,
        }
        self.flush()
        self._written = self._writer.submit(
            write_shard,
            self._folder,
            ShardHeader(data_key(self._spec), batch.segment, batch.index, self._hash),
            columns,
            self._attributes,
            self._failures,
            dtype=np.dtype(self._spec.dtype),
            filter=self._spec.storage.compression,
            info=info,
        )
        self._clear()

    def flush(self) -> None:
        """Wait until what was given to `commit` is on disk.

        Raises:
            StorageError: It can't be written.
        """
        written, self._written = self._written, None
        if written is not None:
            written.result()


_TYPES: dict[str, Any] = {
    "samples/id": np.int64,
    "samples/order": np.int64,
    "solve/iterations": np.int32,
    "solve/systems": np.int32,
    "solve/reason": np.int32,
}


def _failure(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.id,
        "reason": outcome.reason,
        "code": outcome.code,
        "true_residual": outcome.residuals[-1],
        "iterations": outcome.iterations,
        "ladder": outcome.ladder,
    }
