"""Stage `solve`: chains of batches on groups of MPI ranks, one shard a batch."""

from contextlib import closing
from itertools import chain as chain_
from pathlib import Path
from typing import Any

from pipeline.chains import Batch, Part, missing_batches, split_chains
from pipeline.collective import end_if_stopped, on_root
from pipeline.counter import Counter
from pipeline.dataset_folder import data_folder
from pipeline.in_flight import InFlight
from pipeline.interrupt import StopFlag, stoppable
from pipeline.progress import progress
from pipeline.shard_buffer import ShardBuffer
from pipeline.spec import Spec, data_key
from pipeline.spec_errors import SpecError
from pipeline.stages.order import order
from pipeline.stages.sample import sample
from pipeline.turns import own_turn
from storage import DataFolder, read_spaces, spaces_hash

__all__ = ["check_groups", "solve", "strategy_of", "world"]

BLOCK = 16
"""Samples under way at once where systems may go in blocks."""


def solve(
    spec: Spec,
    root: str | Path,
    comm: Any = None,
    quiet: bool = False,
    retry_failed: bool = False,
    part: Part | None = None,
) -> None:
    """Solve every batch that has no shard yet; the sample and order stages are made if missing.

    Collective over `comm` (default: the world). Its ranks form groups of
    `solve.ranks_per_solve`; leftover ranks stay idle, which is reported. Each group solves a
    contiguous chain of batches: recycled space, lagged preconditioner and guess pass on. With
    `retry_failed`, batches with failed samples are solved again; with `part`, only that part of
    the data set, so that jobs which don't know of each other share one. While another run solves
    some of the batches it waits, and then solves what is left.

    Raises:
        SpecError: The strategy is impossible, or a group needs more ranks than there are.
        StorageError: Data on disk are damaged, the disk is full or read-only.
        Interrupted: A signal came; shards in flight are left for the next run.
    """
    comm = comm or world()
    with stoppable() as stop:
        end_if_stopped(comm, stop)  # from here on all ranks take signals alike
        batches = on_root(comm, lambda: _prepare(spec, root, comm.size, quiet, retry_failed, part))
        folder = data_folder(spec, root)
        with own_turn(comm, folder, batches, stop, quiet) as left:
            _solve_batches(spec, folder, left, comm, stop, quiet)
        end_if_stopped(comm, stop)


def _solve_batches(
    spec: Spec, folder: DataFolder, batches: list[Batch], comm: Any, stop: StopFlag, quiet: bool
) -> None:
    """Give each group of ranks a chain, and show the progress of all. Collective."""
    from mpi4py import MPI

    size = spec.solve.ranks_per_solve
    groups, group = comm.size // size, comm.rank // size
    if comm.rank == 0 and (idle := comm.size % size) and not quiet:
        print(f"solve: {idle} of {comm.size} ranks idle (groups of {size})", flush=True)
    mine = comm.Split(group if group < groups else MPI.UNDEFINED, comm.rank)
    chains = split_chains(batches, groups)
    total = sum(len(batch.ids) for batch in batches)
    with progress("solve", total, quiet or comm.rank > 0) as task:
        counter = Counter(comm, task)
        if mine != MPI.COMM_NULL:
            _solve_chain(spec, folder, chains[group], mine, stop, counter)
            mine.Free()
        counter.wait()


def world() -> Any:
    """Return the world communicator; starts MPI."""
    import meshes  # noqa: F401, I001 - loads h5py, DOLFINx and MPI in the order they need
    from mpi4py import MPI

    return MPI.COMM_WORLD


def check_groups(spec: Spec, ranks: int) -> None:
    """Refuse what can't be solved on so many ranks; nothing is written.

    Raises:
        SpecError: The strategy is impossible, or a group needs more ranks than there are.
    """
    size = spec.solve.ranks_per_solve
    if size > ranks:
        raise SpecError(
            [f"solve.ranks_per_solve: got {size}; allowed here: at most {ranks}, the ranks"]
        )
    strategy_of(spec, size)


def strategy_of(spec: Spec, ranks: int) -> Any:
    """Return the `solvers.Strategy` of a spec, or "auto".

    Raises:
        SpecError: The combination is impossible.
    """
    asked = spec.solve.strategy
    if asked is None:
        return "auto"
    if asked.pc == "mg" and (spec.mesh.levels < 2 or ranks > 1):
        raise SpecError(
            [
                f"solve.strategy.pc: got mg with mesh.levels {spec.mesh.levels} on {ranks} ranks a "
                "solve; allowed here: others, or levels of at least 2 and ranks_per_solve 1"
            ]
        )
    return _checked(asked.model_dump(), ranks)


def _checked(options: dict[str, Any], ranks: int) -> Any:
    from solvers import Strategy
    from solvers.strategy import check_ranks

    try:
        strategy = Strategy(**options)
        check_ranks(strategy, ranks)
    except ValueError as error:
        raise SpecError([f"solve.strategy: {error}"]) from None
    return strategy


def _systems(spec: Spec) -> int:
    """About how many systems a sample has: time steps, times Newton's."""
    return max(1, len(spec.problem.times())) * (1 if spec.problem.LINEAR else 5)


def _prepare(
    spec: Spec, root: str | Path, ranks: int, quiet: bool, retry_failed: bool, part: Part | None
) -> list[Batch]:
    check_groups(spec, ranks)
    path = sample(spec, root, quiet)
    order(spec, root)
    return missing_batches(DataFolder(path), spec.ids, data_key(spec), retry_failed, part)


def _solve_chain(
    spec: Spec, folder: DataFolder, chain: list[Batch], comm: Any, stop: StopFlag, counter: Any
) -> None:
    """Solve one chain and write its shards. Collective over the group."""
    from solvers import solve_stream

    if not chain:
        return
    spaces = read_spaces(folder.spaces, verify=True)
    strategy = strategy_of(spec, comm.size)
    blocks = comm.size == 1 and (strategy == "auto" or strategy.block > 1)
    systems = InFlight(spec, spaces, chain, comm, stop, BLOCK if blocks else 1)
    buffer = ShardBuffer(spec, folder, spaces, spaces_hash(folder.spaces))  # its clock starts
    stream = solve_stream(
        systems,
        strategy,
        rtol=spec.rtol,
        comm=comm,
        dtype=spec.dtype if spec.problem.LINEAR else "float64",  # increments aren't stored
        prolongations=systems.discretisation.prolongations(),
        favourite=_checked(spec.problem.STRATEGY, 1) if strategy == "auto" else None,
        expected=_systems(spec) * sum(len(batch.ids) for batch in chain),
        evidence=buffer.note_pilot,
    )
    batches = iter(chain)
    batch = next(batches)
    with closing(stream):
        for solution in chain_(stream, [None]):  # samples refused at the end have no solution
            if solution is not None:
                systems.receive(solution)
            for outcome, inputs, seconds, outputs in systems.finished():
                if comm.rank == 0:
                    buffer.add(outcome, inputs, seconds, outputs)
                    if len(buffer) == len(batch.ids):
                        buffer.commit(batch)
                        batch = next(batches, batch)
                    counter.add(not outcome.converged)
    buffer.flush()
