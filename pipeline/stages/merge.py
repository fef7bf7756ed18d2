"""Stage `merge`: one data set from parts that were made on different machines."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.dataset_folder import existing, resolve, run_stamp, save_run
from pipeline.progress import progress
from pipeline.stages.finalise import finalise, summary
from storage import DataFolder, StorageError, read_records
from storage.catalogue import note
from storage.files import is_abandoned, temporary_path
from storage.merge import merge as merge_samples

__all__ = ["merge"]


def merge(sources: Sequence[str | Path], target: str | Path, quiet: bool = False) -> dict[str, Any]:
    """Join data sets of one data key into a new one and finalise it. Not collective.

    All is written under a temporary name beside the target, which then gets its own: a killed
    merge leaves no half of a data set, and its sources as they were.

    Returns:
        The summary of the new data set, see `stages.finalise`.

    Raises:
        RevisionMismatch: Data keys or spaces differ.
        DamagedFile: A source is damaged.
        StorageError: There are fewer than two sources, or the target exists.
    """
    paths, out = [Path(source) for source in sources], Path(target)
    if len({path.resolve() for path in paths}) < 2:
        raise StorageError("merge: expected two data sets or more, each once")
    if out.exists():
        raise StorageError(f"{out}: exists; name a new folder with --into")
    parts = [existing(DataFolder(path)) for path in paths]
    spec, _ = resolve(paths[0], out.parent)
    records = [record for part in parts for record in read_records(part)]
    every = {i for record in records for i in record.all_ids}
    span = {"first": min(every), "samples": max(every) + 1 - min(every)} if every else {}
    for left in out.parent.glob(f"{out.name}.*.tmp"):
        if is_abandoned(left):  # by a merge that was killed
            shutil.rmtree(left, ignore_errors=True)
    beside = temporary_path(out)
    try:
        with progress("merge", len(records), quiet) as task:
            merge_samples(paths, beside, task)
        _copy_runs(parts, DataFolder(beside))
        save_run(DataFolder(beside), spec.model_copy(update=span), run_stamp())
        finalise(spec.model_copy(update=span), DataFolder(beside))
        os.rename(beside, out)
        note(out)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return summary(DataFolder(out))


def _copy_runs(parts: Sequence[DataFolder], out: DataFolder) -> None:
    """Keep what the runs of the parts were; names are unique."""
    for part in parts:
        for path in part.runs.iterdir():
            if path.suffix in (".yaml", ".py") and not (out.runs / path.name).exists():
                shutil.copy2(path, out.runs / path.name)
