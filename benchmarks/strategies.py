"""Strategies on the same sorted samples, interleaved, at the same true residual.

`python -m benchmarks.strategies [--samples 24] [--resolution 64 128] [--seed 11]`

Each strategy has its own chain and sees every system right after the others have; time is set-up,
iterations and verification together. Assembly, the same for all, is printed beside it.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import parser, report
from pipeline.ordering import sort_features
from pipeline.sampler import Sampler
from pipeline.spaces import spaces_tree
from pipeline.spec import load_spec
from pipeline.stages.solve import world

SPEC = Path(__file__).parents[1] / "examples" / "darcy.yaml"
CANDIDATES: dict[str, dict[str, Any]] = {
    "GMRES(40) + ILU": {"ksp": "gmres", "pc": "ilu"},
    "GCRO-DR cold + ILU": {"ksp": "gcrodr", "pc": "ilu", "recycling": False},
    "GCRO-DR recycled + ILU": {"ksp": "gcrodr", "pc": "ilu"},
    "GCRO-DR recycled + ICC": {"ksp": "gcrodr", "pc": "icc"},
    "GCRO-DR + lagged Cholesky": {"ksp": "gcrodr", "pc": "cholesky", "reuse": "lagged"},
    "CG + ICC": {"ksp": "cg", "pc": "icc"},
    "CG + ICC, previous guess": {"ksp": "cg", "pc": "icc", "guess": "previous"},
    "CG + GAMG": {"ksp": "cg", "pc": "gamg"},
    "MINRES + ICC": {"ksp": "minres", "pc": "icc"},
    "CG + lagged Cholesky": {
        "ksp": "cg",
        "pc": "cholesky",
        "factor_solver": "petsc",
        "reuse": "lagged",
    },
    "Cholesky, PETSc": {"ksp": "preonly", "pc": "cholesky", "factor_solver": "petsc"},
    "Cholesky, MUMPS": {"ksp": "preonly", "pc": "cholesky", "factor_solver": "mumps"},
}


def systems(spec: Any) -> Iterator[tuple[float, Any]]:
    """Yield (seconds of assembly, system) along the sorted path."""
    from mpi4py import MPI

    import solvers
    from pipeline.discretisation import Discretisation

    tree = spaces_tree(spec)
    sampler = Sampler(spec, tree)
    there = Discretisation(spec, tree, MPI.COMM_SELF)
    ids = range(spec.samples)
    features = np.array([sampler.features(i, 32) for i in ids])
    for i in sort_features(features, spec.order.sort):
        inputs = sampler.inputs(int(i))
        start = time.perf_counter()
        A, b = there.assemble(inputs)
        yield time.perf_counter() - start, solvers.System(int(i), A, b, there.problem.free)


def compare(spec: Any) -> list[dict[str, Any]]:
    """Return a row a strategy."""
    import solvers

    from mpi4py import MPI  # isort: skip

    current: list[Any] = []

    def feed() -> Iterator[Any]:
        while True:
            yield current[-1]

    streams = {
        name: solvers.solve_stream(
            feed(), solvers.Strategy(**options), rtol=spec.rtol, comm=MPI.COMM_SELF
        )
        for name, options in CANDIDATES.items()
    }
    found: dict[str, list[Any]] = {name: [] for name in CANDIDATES}
    assembly = []
    for seconds, system in systems(spec):
        assembly.append(seconds)
        current.append(system)
        for name, stream in streams.items():
            found[name].append(next(stream))
    n = system.A.getSize()[0]
    best = min(np.mean([s.seconds for s in rows]) for rows in found.values())
    return [
        {
            "n": n,
            "strategy": name,
            "ms a sample": 1e3 * float(np.mean([s.seconds for s in rows])),
            "against the fastest": float(np.mean([s.seconds for s in rows]) / best),
            "applications": float(np.mean([s.iterations for s in rows])),
            "worst true residual": max(s.true_residual for s in rows),
            "failed": sum(not s.converged for s in rows),
            "assembly ms": 1e3 * float(np.mean(assembly)),
        }
        for name, rows in found.items()
    ]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--samples", type=int, default=24)
    arguments.add_argument("--resolution", type=int, nargs="+", default=[64, 128])
    arguments.add_argument("--seed", type=int, default=11)
    asked = arguments.parse_args()
    world()
    rows = []
    for resolution in asked.resolution:
        changes = [f"mesh.resolution={resolution}", f"samples={asked.samples}"]
        rows += compare(load_spec(SPEC, [*changes, f"seed={asked.seed}"]))
    report(
        "strategies",
        rows,
        asked.results,
        note=f"log-normal Darcy, P1, {asked.samples} sorted samples",
    )


if __name__ == "__main__":
    main()
