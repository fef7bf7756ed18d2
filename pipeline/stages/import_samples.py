"""Stage `import`: samples of another maker become a data set of format 1."""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.dataset_folder import run_stamp, save_run
from pipeline.imported import ImportedSpec, Origin
from pipeline.interrupt import stoppable
from pipeline.progress import Task, progress
from pipeline.spec_errors import SpecError, mistakes
from pipeline.stages.finalise import finalise
from storage import DataFolder, StorageError
from storage.files import make_folder, remove_file
from storage.importing import Layout, content_key, open_source, read_layout, write_samples

__all__ = ["import_samples"]

_LOCK = "import.lock"


def import_samples(
    file: str | Path,
    name: str,
    root: str | Path,
    *,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    axes: Sequence[str] = (),
    domain: Sequence[float] | None = None,
    licence: str = "unknown",
    citation: str = "",
    split_seed: int = 0,
    quiet: bool = False,
) -> tuple[ImportedSpec, dict[str, Any]]:
    """Import a file of arrays; see `storage.importing`. Reads it twice, a block at a time.

    The data set appears under its name when all of its samples are there. What a killed import
    leaves behind, the same call goes on from.

    Returns:
        What is known of it instead of a spec, and the summary of the data set.

    Raises:
        SpecError: the name can't be one.
        StorageError: the file can't be read or understood, a value isn't finite, the data set is
            there already, or another process imports it.
    """
    with stoppable() as stop, open_source(Path(file)) as source:
        layout = read_layout(source, inputs, outputs, axes, domain)

        def watched(task: Task) -> Callable[[int], None]:
            def tell(done: int) -> None:
                stop.check()
                task(done)

            return tell

        _checked(name, layout, "0" * 64, file, licence, citation, split_seed)
        with progress("read", layout.samples, quiet) as task:
            key = content_key(source, layout, watched(task))
        spec = _checked(name, layout, key, file, licence, citation, split_seed)
        folder = DataFolder(Path(root) / f"{name}-{key[:10]}")
        if folder.manifest.exists():
            raise StorageError(
                f"{folder.path}: is there already and holds these samples; remove it first, or "
                "give another --name or --root"
            )
        if not folder.path.exists():
            work = DataFolder(Path(root) / f".{folder.path.name}.import")
            make_folder(work.path)
            with _alone(work.path), progress("import", layout.samples, quiet) as task:
                write_samples(source, layout, work, key, watched(task))
                save_run(work, spec, run_stamp())
                remove_file(work.path / _LOCK)
                os.rename(work.path, folder.path)
    return spec, finalise(spec, folder)


def _checked(
    name: str,
    layout: Layout,
    key: str,
    file: str | Path,
    licence: str,
    citation: str,
    seed: int,
) -> ImportedSpec:
    """The spec's stand-in; refuses a bad name before the file is read."""
    try:
        return ImportedSpec(
            name=name,
            seed=seed,
            samples=layout.samples,
            imported=Origin(
                file=Path(file).name,
                format=layout.format,
                data_key=key,
                arrays={part.key: part.axes for part in layout.parts},
                inputs=tuple(layout.fields("input")),
                parameters=tuple(layout.fields("parameter")),
                outputs=tuple(layout.fields("output")),
                points=layout.shape,
                low=layout.low,
                high=layout.high,
                times=layout.times,
                dtype=layout.dtype,
            ),
            licence=licence,
            citation=citation,
        )
    except ValidationError as error:
        raise SpecError([f"--{line}" for line in mistakes(error, ImportedSpec)]) from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a folder against other imports; the kernel's lock goes with the process."""
    with open(folder / _LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageError(f"{folder}: another process imports these samples now") from error
        yield
