"""The samples of one batch in memory, until they are committed as a shard."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.chains import Batch
from pipeline.spec import Spec, data_key
from storage import DataFolder, ShardHeader, write_shard

__all__ = ["ShardBuffer"]

Array = NDArray[np.float64]


class ShardBuffer:
    """Collects verified samples and failures of a batch; bounded by the size of a shard."""

    def __init__(self, spec: Spec, folder: DataFolder, spaces: Any, spaces_hash: str) -> None:
        self._spec, self._folder, self._hash = spec, folder, spaces_hash
        fields = spaces["fields"]
        self._output = next(name for name, f in fields.items() if f["role"] == "output")
        self._attributes = {
            f"{f['role']}s/{name}": {k: f[k] for k in ("space", "units", "description")}
            for name, f in fields.items()
        }
        self._clear()

    def _clear(self) -> None:
        self._rows: dict[str, list[Any]] = {}
        self._failures: list[dict[str, Any]] = []
        self._ladders: dict[str, list[str]] = {}
        self._count = 0
        self._seconds = {"draw": 0.0, "assemble": 0.0, "solve": 0.0}
        self._start = time.perf_counter()

    def __len__(self) -> int:
        """Samples and failures held."""
        return self._count

    def add(
        self,
        solution: Any,
        inputs: dict[str, Array],
        seconds: dict[str, float],
        values: Array | None,
    ) -> None:
        """Take the outcome of one system.

        Args:
            solution: The `solvers.Solution`.
            inputs: Its input columns.
            seconds: Seconds of drawing and assembling.
            values: Its canonical coefficients.
        """
        position = self._count
        self._count += 1
        for name, value in {**seconds, "solve": solution.seconds}.items():
            self._seconds[name] += value
        if solution.ladder:
            self._ladders[str(solution.id)] = list(solution.ladder)
        if not solution.converged:
            self._failures.append(_failure(solution))
            return
        row: dict[str, Any] = {
            "samples/id": solution.id,
            "samples/order": position,
            "solve/iterations": solution.iterations,
            "solve/true_residual": solution.true_residual,
            "solve/reason": int(solution.reason),
            "solve/seconds": solution.seconds,
            f"outputs/{self._output}": values,
            **inputs,
        }
        for name, value in row.items():
            self._rows.setdefault(name, []).append(value)

    def commit(self, batch: Batch) -> None:
        """Write the shard and its record, and start anew."""
        columns = {name: np.array(r, dtype=_TYPES.get(name)) for name, r in self._rows.items()}
        columns.setdefault("samples/id", np.empty(0, dtype=np.int64))
        if "samples/order" in columns:
            columns["samples/order"] += batch.start
        info = {
            "seconds": {**self._seconds, "all": time.perf_counter() - self._start},
            "ended": time.time(),
            "ladders": self._ladders,
        }
        write_shard(
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


_TYPES: dict[str, Any] = {
    "samples/id": np.int64,
    "samples/order": np.int64,
    "solve/iterations": np.int32,
    "solve/reason": np.int32,
}


def _failure(solution: Any) -> dict[str, Any]:
    return {
        "id": solution.id,
        "reason": solution.reason.text,
        "code": int(solution.reason),
        "true_residual": solution.true_residual,
        "iterations": solution.iterations,
        "ladder": list(solution.ladder),
    }
