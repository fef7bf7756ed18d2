"""All stages in a row, the solve stage on MPI ranks of its own."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pipeline import stages
from pipeline.dataset_folder import data_folder
from pipeline.interrupt import Interrupted, launcher_decides
from pipeline.progress import MARKED, parse_mark, progress
from pipeline.spec import Spec
from pipeline.stages.solve import check_groups

__all__ = ["SolveFailed", "run", "solve_argv", "solve_on_ranks"]


class SolveFailed(RuntimeError):
    """The solve stage's own processes ended with an error; they said which."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.code)  # from a worker to the flow


def run(
    spec: Spec,
    spec_path: str,
    root: str | Path,
    ranks: int,
    overrides: list[str],
    retry_failed: bool = False,
) -> dict[str, Any]:
    """Sample, order, solve, finalise and train; return the summary with times per stage.

    A stage that finds its work done costs little, so the same call finishes a broken-off run.

    Raises:
        SpecError, StorageError, Interrupted: As the stages do.
        SolveFailed: The processes of the solve stage failed.
    """
    check_groups(spec, ranks)
    seconds: dict[str, float] = {}
    with _timed(seconds, "sample"):
        stages.sample(spec, root, workers=ranks)
    with _timed(seconds, "order"):
        stages.order(spec, root)
    with _timed(seconds, "solve"):
        if ranks == 1:
            stages.solve(spec, root, retry_failed=retry_failed)
        else:
            solve_on_ranks(spec_path, root, ranks, overrides, retry_failed)
    folder = data_folder(spec, root)
    status = stages.status(spec, folder)
    if status.missing:  # ranks that met damage end with the code of failed samples
        raise SolveFailed(
            f"{status.missing} samples are not solved; see the solve stage's message above", 3
        )
    with _timed(seconds, "finalise"):
        found = stages.finalise(spec, folder, workers=ranks)
    with _timed(seconds, "train"):
        report = stages.train(spec, folder) if found["stored"] else None
    return found | {"stage_seconds": seconds, "report": report, "missing": status.missing}


def solve_argv(
    spec_path: str,
    root: str | Path,
    overrides: Sequence[str] = (),
    retry_failed: bool = False,
    part: str | None = None,
) -> list[str]:
    """Return the arguments of `rekrylov` for the solve stage, for `launch`."""
    words = [word for text in overrides for word in ("--set", text)]
    words += ["--retry-failed"] if retry_failed else []
    words += [] if part is None else ["--part", part]
    return ["solve", str(spec_path), "--root", str(root), *words]


def solve_on_ranks(
    spec_path: str,
    root: str | Path,
    ranks: int,
    overrides: list[str],
    retry_failed: bool = False,
) -> None:
    """Run `rekrylov solve` under the environment's own mpiexec and show its progress.

    Raises:
        Interrupted: It was interrupted.
        SolveFailed: It ended with another exit code than "done" or "done, some samples failed".
    """
    from pipeline.launch import launch

    argv = solve_argv(spec_path, root, overrides, retry_failed)
    with launcher_decides(), ExitStack() as stack:
        show: dict[str, Any] = {}

        def on_line(line: str) -> None:
            mark = parse_mark(line)
            if mark is None:
                print(line.rstrip(), flush=True)
                return
            name, done, total = mark
            if name not in show:
                show[name] = stack.enter_context(progress(name, total))
            show[name](done)

        code = launch(argv, ranks, on_line=on_line, env={MARKED: "1"})
    if code == 4:
        raise Interrupted("the solve stage was stopped; the same command goes on from there")
    if code not in (0, 3):
        raise SolveFailed(
            f"the solve stage ended with exit code {code}; see its message above", code
        )


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
