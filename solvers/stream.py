"""A stream of systems in, a verified solution for each out."""

from collections.abc import Callable, Generator, Iterable
from typing import Any, Literal

import numpy as np
from mpi4py import MPI
from numpy.typing import DTypeLike

from solvers.block_chain import BlockChain
from solvers.chain import Chain
from solvers.pilot import Pilot
from solvers.strategy import Strategy, check_ranks
from solvers.system import Solution, System

__all__ = ["solve_stream"]


def solve_stream(
    systems: Iterable[System],
    strategy: Strategy | Literal["auto"],
    *,
    rtol: float,
    comm: MPI.Comm,
    dtype: DTypeLike = np.float64,
    prolongations: Any = (),
    favourite: Strategy | None = None,
    expected: int | None = None,
    evidence: Callable[[dict[str, Any]], None] | None = None,
) -> Generator[Solution]:
    """Solve systems and yield a verified solution for each, in the same order.

    Each solution is accepted only if ρ = ‖(A x − b)_free‖/‖b_free‖ ≤ rtol holds for x rounded to
    `dtype`. Otherwise the solve goes on from x with a tighter tolerance; then a fresh
    preconditioner without recycled space or guess is tried, then MUMPS LU; then the sample is given
    up with a reason. A bad system doesn't stop the stream.

    A strategy with blocks, and "auto" on its pilot, pull up to `block` systems before they yield
    the first solution: an iterator that waits for a solution before it goes on ends the block by
    yielding None.

    Collective: all ranks of `comm` iterate together; decisions are reduced first. The KSP lives as
    long as the generator and is destroyed, with its options, when the generator is exhausted or
    closed: close it on all ranks (`contextlib.closing`). The systems' objects are never destroyed.

    Args:
        systems: A and b are not used after the next system was pulled.
        strategy: How to solve; "auto" times candidates on the first systems (`solvers.pilot`).
        rtol: The bound on the true residual.
        comm: The communicator of all systems.
        dtype: The storage dtype of the solutions.
        prolongations: For pc "mg": CSR matrices from the dofs of each level of a mesh hierarchy to
            those of the next finer one, the finest first. One rank only.
        favourite: For "auto": a strategy to try beside the candidates.
        expected: For "auto": about how many systems will come; set-up is shared among them.
        evidence: For "auto": is called with the record of each pilot.

    Yields:
        One `Solution` a system.

    Raises:
        ValueError: rtol is not in (0, 1), or the strategy doesn't run on this many ranks.
    """
    if not 0.0 < rtol < 1.0:
        raise ValueError(f"rtol is {rtol}: take a number between 0 and 1")
    made = np.dtype(dtype)
    chain: Any
    if strategy == "auto":
        chain = Pilot(rtol, comm, made, prolongations, favourite, expected, evidence)
    else:
        check_ranks(strategy, comm.size)
        kind: Any = BlockChain if strategy.block > 1 else Chain
        chain = kind(strategy, rtol, comm, made, prolongations)
    return _stream(systems, chain)


def _stream(systems: Iterable[System | None], chain: Any) -> Generator[Solution]:
    try:
        for system in systems:
            yield from chain.solve() if system is None else chain.take(system)
        yield from chain.solve()
    finally:
        chain.close()
