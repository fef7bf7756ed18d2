"""Stage `repair`: what can be rebuilt is rebuilt, damaged batches are solved again."""

import os
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pipeline.dataset_folder import data_folder, run_stamp, save_run
from pipeline.imported import ImportedSpec
from pipeline.spec import Spec, data_key
from pipeline.stages.check import CheckResult, check
from pipeline.stages.finalise import finalise
from pipeline.stages.repair_plan import Plan, make_plan
from pipeline.stages.solve import solve
from pipeline.stored_spec import StoredSpec, stored_spec
from storage import (
    DamagedFile,
    DataFolder,
    StorageError,
    open_dataset,
    read_order,
    tree_hash,
    write_spaces,
)
from storage.checks.records import read_all
from storage.files import commit_json, make_folder
from storage.folder import batch_of

__all__ = ["RepairResult", "repair"]

_ROUNDS = 3


@dataclass
class RepairResult:
    """Outcome of a repair.

    Attributes:
        plan: What was to be done, by the first look.
        done: What was done, in order.
        aside: Where damaged files were set aside, None if none were.
        unrepaired: What couldn't be repaired, and why.
        check: The check at the end; of the state as it is, for a dry run.
    """

    plan: list[str]
    done: list[str]
    aside: str | None
    unrepaired: list[str]
    check: CheckResult

    @property
    def sound(self) -> bool:
        """Whether the data set is sound now."""
        return self.check.sound and not self.unrepaired

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"sound": self.sound, **asdict(self), "check": self.check.as_dict()}


def repair(
    folder: DataFolder,
    *,
    full: bool = False,
    ranks: int = 1,
    workers: int = 1,
    dry_run: bool = False,
    quiet: bool = True,
) -> RepairResult:
    """Make a data set sound again. Idempotent; undamaged batches aren't touched.

    Damaged files are moved to `damaged/<time>/` in the folder, never deleted. Batches without a
    shard are solved then, also those that an interrupted run left open: same inputs bit for bit,
    solutions to the tolerance. No run may be under way in the folder. Not collective.

    Args:
        folder: The data set.
        full: Look for damage by a full check.
        ranks: MPI ranks that solve.
        workers: Processes that read shards.
        dry_run: Say what would be done, and do nothing.
        quiet: Show no progress.

    Raises:
        StorageError: There is no data set.
        Interrupted, SolveFailed: As the solve stage does.
    """
    folder = DataFolder(folder.path.resolve())
    work = _Repair(folder, ranks, quiet)
    options: dict[str, Any] = {"full": full, "workers": workers, "quiet": quiet}
    result = check(None, folder, keep=not dry_run, **options)
    first: list[str] = []
    last: Plan | None = None
    for round_ in range(_ROUNDS):
        kept = stored_spec(folder)
        plan = make_plan(folder, result.findings, kept.damaged)
        first = first if round_ else list(plan.lines(folder))
        if plan.empty or dry_run or work.unrepaired or plan == last:  # it did not help
            break
        last = plan
        work.act(plan, kept, result)
        result = check(None, folder, **options)
    aside = str(work.aside.relative_to(folder.path)) if work.aside.exists() else None
    return RepairResult(first, work.done, aside, work.unrepaired, result)


@dataclass
class _Repair:
    """Does what plans say, and keeps book."""

    folder: DataFolder
    ranks: int
    quiet: bool
    done: list[str] = field(default_factory=list)
    unrepaired: list[str] = field(default_factory=list)
    aside: Path = field(init=False)

    def __post_init__(self) -> None:
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
        self.aside = self.folder.path / "damaged" / stamp

    def act(self, plan: Plan, kept: StoredSpec, result: CheckResult) -> None:
        """Do one round; what fails is noted, and ends it."""
        try:
            self._act(plan, kept, result)
        except (StorageError, ValueError) as problem:  # SpecError is a ValueError
            self.unrepaired.append(" ".join(str(problem).split()))

    def _act(self, plan: Plan, kept: StoredSpec, result: CheckResult) -> None:
        spec = kept.spec
        needed = plan.spaces or plan.solve or plan.finalise or plan.specs
        if needed and spec is None:
            raise StorageError(f"{self.folder.path}: {kept.why}: it can't be repaired here")
        tree = self._spaces(plan, spec) if plan.spaces and spec is not None else None
        if plan.solve and spec is not None:
            self._check_solvable(spec, plan)
        lost = self._set_aside(plan, result)
        make_folder(self.folder.shards)
        make_folder(self.folder.runs)
        if tree is not None:
            write_spaces(self.folder.spaces, tree)
            self.done.append("made spaces.h5 again")
        if spec is not None and (plan.specs or plan.solve):
            save_run(self.folder, spec, run_stamp())
        if plan.solve and spec is not None:
            self._solve(spec, lost)
        if plan.finalise and spec is not None:
            finalise(spec, self.folder)
            self.done.append("rebuilt manifest.json, scalars.h5 and the pictures")
        elif plan.scalars:
            from storage.scalars import commit_scalars

            commit_scalars(open_dataset(self.folder.path, verify=True))
            self.done.append("rebuilt scalars.h5")
        if plan.packed:
            self._pack()

    def _spaces(self, plan: Plan, spec: Spec) -> dict[str, Any]:
        """The tree of `spaces.h5` made again; it must be the one that samples were made with."""
        from pipeline.spaces import spaces_tree

        tree = spaces_tree(spec)
        hashes = Counter(record.spaces_hash for record in read_all(self.folder, []))
        if plan.all_batches or not hashes:
            return tree
        (expected, _), found = hashes.most_common(1)[0], tree_hash(tree)
        if found != expected:
            raise DamagedFile(
                f"{self.folder.spaces}: made again it has hash {found[:10]}, the samples were made "
                f"with {expected[:10]}: other versions, or another machine; restore it from a copy"
            )
        return tree

    def _check_solvable(self, spec: Spec, plan: Plan) -> None:
        """Refuse before anything is set aside what would be refused after."""
        if isinstance(spec, ImportedSpec):
            raise StorageError(
                f"{self.folder.path}: its samples were imported and can't be solved again; import "
                "the file again"
            )
        name = f"{spec.name}-{data_key(spec)[:10]}"
        if self.folder.path.name != name:
            raise StorageError(
                f"{self.folder.path}: samples can be solved again in a folder called {name} alone; "
                "rename it"
            )
        if not plan.spaces:
            data_folder(spec, self.folder.path.parent)  # raises if spaces.h5 is of another key

    def _set_aside(self, plan: Plan, result: CheckResult) -> list[int]:
        """Move damaged files away; returns the ids that `order.h5` says they held."""
        stems = {batch_of(path) for path in plan.aside if path.parent == self.folder.shards}
        lost = _ids_of(self.folder, stems)
        for path in plan.aside:  # records first: what has no record is no commit
            target = self.aside / path.relative_to(self.folder.path)
            make_folder(target.parent)
            os.rename(path, target)
            self.done.append(f"set aside {path.relative_to(self.folder.path)}")
        if plan.aside:
            found = [asdict(finding) for finding in result.findings]
            commit_json(self.aside / "findings.json", found, replace=True, indent=1)
        return lost

    def _solve(self, spec: Spec, lost: list[int]) -> None:
        before = self.folder.committed()
        for wanted in _asked(spec, self.folder, lost):
            if self.ranks == 1:
                solve(wanted, self.folder.path.parent, quiet=self.quiet)
            else:
                _on_ranks(wanted, self.folder, self.ranks)
        save_run(self.folder, spec, run_stamp())
        if new := self.folder.committed() - before:
            self.done.append(f"solved {len(new)} batches again")

    def _pack(self) -> None:
        from storage.loading.packing import pack, remove_packed

        remove_packed(self.folder.path)
        pack(open_dataset(self.folder.path, verify=True))
        self.done.append("rebuilt the packed copy")


def _ids_of(folder: DataFolder, stems: set[str]) -> list[int]:
    """Ids of the batches `<segment>-<batch>`; [] where `order.h5` doesn't know them."""
    try:
        segments = read_order(folder.order)
    except StorageError:
        return []
    return [
        int(i)
        for segment in segments
        for batch in range(segment.batches)
        if folder.record(segment.index, batch).stem in stems
        for i in segment.batch_ids(batch)
    ]


def _asked(spec: Spec, folder: DataFolder, lost: list[int]) -> list[Spec]:
    """Specs that ask for what is not solved of the ids that the data set has had, and no others.

    The last run may have asked for fewer samples than there are, and of merged parts `spec` spans
    what lies between them, too. Without `order.h5` nothing tells: all that `spec` asks for.
    """
    segments = read_order(folder.order)
    if not segments:
        return [spec]
    known = np.unique(np.concatenate([segment.ids for segment in segments]))
    inside = (known >= spec.ids.start) & (known < spec.ids.stop)
    known = known[inside | np.isin(known, lost)]
    done = [i for record in read_all(folder, []) for i in record.all_ids]
    runs = np.split(known, np.flatnonzero(np.diff(known) != 1) + 1)
    return [
        spec.model_copy(update={"first": int(run[0]), "samples": len(run)})
        for run in runs
        if not np.isin(run, done).all()
    ]


def _on_ranks(spec: Spec, folder: DataFolder, ranks: int) -> None:
    """Solve under the environment's own mpiexec."""
    from pipeline.run import solve_on_ranks

    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "spec.yaml"
        path.write_text(yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False))
        solve_on_ranks(str(path), folder.path.parent, ranks, [])
