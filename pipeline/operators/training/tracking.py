"""Figures of every epoch: `metrics.csv`, TensorBoard, and MLflow by choice. All stay local."""

from __future__ import annotations

import csv
import errno
import io
import logging
import math
import os
import socket
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from pipeline.operators.config import TrainConfig
from pipeline.operators.errors import TrainingError
from storage.errors import StorageError, StorageFull
from storage.files import commit_bytes, make_folder

__all__ = ["Tracker", "open_trackers"]

type Row = dict[str, float]


class Tracker(Protocol):
    """Where rows go."""

    def log(self, row: Row) -> None:
        """Add the row of an epoch."""
        ...

    def close(self) -> None:
        """Leave the files complete."""
        ...


def open_trackers(config: TrainConfig, folder: Path, rows: list[Row], key: str) -> list[Tracker]:
    """Open what `config.tracking` names.

    Args:
        config: of the run.
        folder: exists.
        rows: those of the epochs before, if the run goes on; later ones in the files are dropped.
        key: of the run, finds it again in MLflow.

    Raises:
        TrainingError: MLflow is not installed.
        storage.StorageError: the folder can't be written or the disk is full.
    """
    makers: dict[str, Any] = {
        "csv": lambda: _Csv(folder / "metrics.csv", rows),
        "tensorboard": lambda: _TensorBoard(folder / "tensorboard", rows),
        "mlflow": lambda: _MLflow(folder / "mlflow.db", config, key),
    }
    return [makers[name]() for name in config.tracking]


class _Csv:
    """A line an epoch, appended; what a killed run left after its last state is dropped."""

    def __init__(self, path: Path, rows: list[Row]) -> None:
        self.path, self.rows, self.names = path, list(rows), list[str]()
        self._rewrite()

    def log(self, row: Row) -> None:
        self.rows.append(row)
        if not set(row) <= set(self.names):  # the first row, or the first validation
            self._rewrite()
            return
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(self._lines([row]))
        except OSError as error:
            kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
            raise kind(
                f"{self.path}: cannot be written ({error.strerror}); free some space and run the "
                "same command again"
            ) from error

    def close(self) -> None:
        pass

    def _rewrite(self) -> None:
        self.names = list(dict.fromkeys(name for row in self.rows for name in row))
        head = ",".join(self.names) + "\n" if self.names else ""
        commit_bytes(self.path, (head + self._lines(self.rows)).encode(), replace=True)

    def _lines(self, rows: list[Row]) -> str:
        text = io.StringIO()
        csv.DictWriter(text, self.names, lineterminator="\n").writerows(rows)
        return text.getvalue()


class _TensorBoard:
    """Scalars by epoch.

    The record format is written directly: `SummaryWriter` writes in a thread that dies with a
    traceback on a full disk. A failure here ends the tracking, not the run.
    """

    def __init__(self, folder: Path, rows: list[Row]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        make_folder(folder)
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        self.writer: Any = None
        with suppress(OSError):
            self.writer = RecordWriter(open(folder / name, "wb"))  # noqa: SIM115 - kept open
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if rows:  # hides what a killed run logged after its last state
            begin = SessionLog(status=SessionLog.START)
            step = int(rows[-1]["epoch"]) + 1
            self._write(Event(wall_time=time.time(), step=step, session_log=begin))

    def log(self, row: Row) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=k, simple_value=v) for k, v in row.items() if k != "epoch"]
        step, summary = int(row["epoch"]), Summary(value=values)
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        with suppress(OSError):
            if self.writer is not None:
                self.writer.close()
        self.writer = None

    def _write(self, event: Any) -> None:
        if self.writer is None:
            return
        try:
            self.writer.write(event.SerializeToString())
            self.writer.flush()
        except OSError as error:
            warnings.warn(f"TensorBoard files end here: {error.strerror}", stacklevel=2)
            self.close()


class _MLflow:
    """A run in an SQLite file; MLflow's telemetry is switched off before it is imported."""

    def __init__(self, path: Path, config: TrainConfig, key: str) -> None:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = os.environ["DO_NOT_TRACK"] = "true"
        try:
            from mlflow import MlflowClient

            logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table
            path = path.resolve()
            self.client = MlflowClient(f"sqlite:///{path}")
        except ImportError as error:
            raise TrainingError(
                f"{error.name} is not installed, `tracking: [mlflow]` needs it: "
                "pip install 'rekrylov[mlflow]'"
            ) from error
        found = self.client.get_experiment_by_name("rekrylov")
        place = f"file://{path.with_name('mlflow')}"
        home = found.experiment_id if found else self.client.create_experiment("rekrylov", place)
        runs = self.client.search_runs([home], f"tags.run_key = '{key}'")
        run = runs[0] if runs else self.client.create_run(home, tags={"run_key": key})
        self.id, self.last = run.info.run_id, float(run.data.metrics.get("epoch", 0))
        if not runs:
            for name, value in config.model_dump(mode="json").items():
                self.client.log_param(self.id, name, str(value)[:500])

    def log(self, row: Row) -> None:
        from mlflow.entities import Metric
        from mlflow.exceptions import MlflowException

        if row["epoch"] > self.last:  # a resumed run may repeat an epoch, with the same figures
            now, step = time.time_ns() // 10**6, int(row["epoch"])
            metrics = [Metric(name, value, now, step) for name, value in row.items()]
            try:
                self.client.log_batch(self.id, metrics=metrics)
            except MlflowException as error:  # a full disk, say; the run goes on
                line = str(error).partition("\n")[0]
                warnings.warn(f"MLflow's figures end at epoch {step}: {line}", stacklevel=2)
                self.last = math.inf

    def close(self) -> None:
        if self.last < math.inf:
            self.client.set_terminated(self.id)
