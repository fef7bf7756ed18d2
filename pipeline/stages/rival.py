"""A trained operator against its honest rival: a finite-element solve that is no better.

A network with 2 % error competes with a solver on a mesh so coarse that its error is 2 %, not with
solves to 1e-8 on the fine mesh. Both errors are measured in the same way: against the stored
solutions, relative, L2, in the fine space. For a mesh of resolution r < R,

    e(r) = mean_i ‖Π_R u_r(Π_r z_i) − u_i‖ / ‖u_i‖,

with Π the interpolation into the spaces of each mesh (z_i are the stored inputs, so both solve the
same problem). The rival is the smallest r with e(r) ≤ the network's error.
"""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.operators.errors import TrainingError
from pipeline.spec import Spec, parse_spec
from pipeline.spec_errors import SpecError
from storage import Dataset, StoredFunction

__all__ = ["against_solver"]

Array = NDArray[np.float64]
Columns = dict[str, Array]

SAMPLES = 32
"""Most samples that are solved; a block of the solver holds 16."""
STEP = 1.25
"""From one resolution to the next finer one, at least 1 more."""


def against_solver(
    checkpoint: str | Path, folder: str | Path, ids: str | None = None, split: str | None = None
) -> dict[str, Any]:
    """Compare milliseconds a sample of an operator and of finite-element solves.

    Args:
        checkpoint: the file or its folder.
        folder: the data set; its spec is run on coarser meshes.
        ids: of the samples, see `chosen`; the first 32 of them are used.
        split: of the samples.

    Returns:
        `samples`; `network`: error, ms in batches of 1 and 32; `stored`: resolution and ms of the
        stored solves; `rival`: resolution, error, ms, strategy, or None with the reason in
        `no_rival`; `tried`: resolution and error of all meshes. Times of solves include
        assembly, not the making of mesh and spaces.

    Raises:
        TrainingError: as `predict`.
    """
    from pipeline.dataset_folder import resolve
    from pipeline.operators.predict import load, milliseconds, predict_samples
    from pipeline.stages.predict import chosen

    dataset = chosen(Path(folder), ids, split)
    dataset = dataset.select(dataset.ids[:SAMPLES])
    operator = load(checkpoint, dataset).operator
    found = predict_samples(operator, dataset)
    assert found.errors is not None
    error = float(found.errors["l2"].mean())
    network = {"error": error} | {
        f"ms_batch_{batch}": milliseconds(operator, found.inputs, batch) for batch in (1, 32)
    }
    spec, _ = resolve(folder, ".")
    assembly = dataset.manifest["timings"]["assemble"] / max(1, dataset.manifest["samples"])
    stored = (float(dataset.read("solve/seconds").mean()) + assembly) * 1e3
    report: dict[str, Any] = {
        "samples": len(dataset),
        "network": network,
        "stored": {"resolution": _finest(spec), "ms": stored},
        "rival": None,
        "tried": [],
    }
    if (why := _no_coarser(spec)) is not None:
        return report | {"no_rival": why}
    outputs = [field.name for field in operator.task.outputs]
    for resolution in _coarser(_finest(spec)):
        try:
            rival = _Rival(_on(spec, resolution), dataset, outputs)
        except SpecError:  # too coarse for a slot, a corner or the problem
            continue
        reached = rival.error()
        report["tried"].append({"resolution": resolution, "error": reached})
        if reached <= error:
            ms, strategy = rival.fastest()
            return report | {"rival": report["tried"][-1] | {"ms": ms, "strategy": strategy}}
    return report | {"no_rival": "the network is more accurate than all coarser meshes"}


class _Rival:
    """Solves of stored samples on a coarser mesh."""

    def __init__(self, spec: Spec, dataset: Dataset, outputs: list[str]) -> None:
        import meshes  # noqa: F401, I001 - loads h5py, DOLFINx and MPI in the order they need

        from pipeline.spaces import spaces_tree

        self.spec, self.dataset, self.outputs = spec, dataset, outputs
        self.tree = spaces_tree(spec)
        self.columns = [self._inputs(row) for row in range(len(dataset))]

    def error(self) -> float:
        """e(r), the mean over samples and outputs."""
        from pipeline.operators.fe.norms import gram, relative_errors

        solved, found = self.solve(self._direct(), self.columns)[0], []
        for name in self.outputs:
            fine = self.dataset.spaces[self.dataset.fields[name].space]
            truth = self.dataset.read(name).astype(np.float64)
            truth = truth.reshape(len(truth), -1, truth.shape[-1])
            moved = np.stack([self._to_fine(name, s[f"outputs/{name}"]) for s in solved])
            found.append(relative_errors(gram(fine, "l2"), moved, truth))
        return float(np.mean(found))

    def fastest(self) -> tuple[float, str]:
        """Milliseconds a sample of the faster of two strategies: the data set's, and direct."""
        from solvers import Strategy

        strategies = [self._direct()]
        pilots = self.dataset.manifest["strategy"].get("pilots") or []
        asked = self.dataset.manifest["strategy"].get("strategy")
        options = pilots[0]["options"] if pilots else asked
        if options is not None and options["pc"] != "mg":  # which needs levels
            strategies.append(Strategy(**options))
        many = [self.columns[k % len(self.columns)] for k in range(SAMPLES)]  # share the set-up
        timed = [(min(self.solve(s, many)[1] for _ in range(2)), s.label) for s in strategies]
        seconds, strategy = min(timed)
        return seconds * 1e3 / SAMPLES, strategy

    def solve(self, strategy: Any, inputs: list[Columns]) -> tuple[list[Columns], float]:
        """Return the outputs of all inputs, and the seconds of assembling and solving them."""
        from mpi4py import MPI

        from solvers import solve_stream

        systems = self._systems(strategy, inputs)
        problem = self.spec.problem
        solved: list[Columns] = []
        start = time.perf_counter()
        stream = solve_stream(
            systems,
            strategy,
            rtol=self.spec.rtol,
            comm=MPI.COMM_SELF,
            dtype=self.spec.dtype if problem.LINEAR else "float64",
        )
        with closing(stream):
            for solution in stream:
                systems.receive(solution)
                solved += [outputs for *_, outputs in systems.finished()]
        solved += [outputs for *_, outputs in systems.finished()]
        seconds = time.perf_counter() - start
        if failed := sum(not outputs for outputs in solved):
            raise TrainingError(
                f"{failed} samples fail on the mesh of resolution "
                f"{self.spec.mesh.resolution}; choose others with --ids"  # type: ignore[union-attr]
            )
        return solved, seconds

    def _systems(self, strategy: Any, inputs: list[Columns]) -> Any:
        from mpi4py import MPI

        from pipeline.chains import Batch
        from pipeline.in_flight import InFlight
        from pipeline.interrupt import StopFlag

        class Given(InFlight):
            """Samples that are given, not drawn."""

            def _draw(self, i: int) -> Columns:
                return inputs[i]

        chain = [Batch(0, 0, np.arange(len(inputs)), 0)]
        window = max(1, strategy.block)
        return Given(self.spec, self.tree, chain, MPI.COMM_SELF, StopFlag(), window)

    def _direct(self) -> Any:
        from solvers import Strategy

        return Strategy(ksp="preonly", pc="lu")

    def _inputs(self, row: int) -> Columns:
        """Π_r z: the stored inputs of one sample on the coarse mesh."""
        from pipeline.operators.functions import interpolation

        found = {f"parameters/{n}": self.dataset.read(n, row) for n in self.dataset.parameters}
        for name in self.dataset.inputs:
            points, matrix = interpolation(self.tree["spaces"][self.tree["fields"][name]["space"]])
            values = self.dataset.function(name, row)(points)
            found[f"inputs/{name}"] = np.asarray(matrix @ values.ravel())
        return found

    def _to_fine(self, name: str, coefficients: Array) -> Array:
        """Π_R u: (T, dim) coefficients in the fine space of a coarse solution (dim) or (T, dim)."""
        from pipeline.operators.functions import interpolation

        points, matrix = interpolation(self.dataset.spaces[self.dataset.fields[name].space])
        space = self.tree["spaces"][self.tree["fields"][name]["space"]]
        steps = np.atleast_2d(coefficients)
        cells, X = StoredFunction(self.tree["mesh"], space, steps[0]).locate(points)
        functions = [StoredFunction(self.tree["mesh"], space, u) for u in steps]
        return np.stack([matrix @ u.evaluate(cells, X).ravel() for u in functions])


def _no_coarser(spec: Spec) -> str | None:
    """Why a spec's mesh can't be made coarser."""
    if spec.mesh.moves:
        return "each sample has a mesh of its own, which can't be made coarser here"
    if spec.mesh.domain == "file":
        return "the mesh is the user's own and can't be made coarser"
    if not hasattr(spec.mesh, "resolution"):
        return "the domain is curved: a coarser mesh covers another one"
    return None


def _finest(spec: Spec) -> Any:
    """Resolution of the data set's mesh; None where there is no such number."""
    resolution: Any = getattr(spec.mesh, "resolution", None)
    if resolution is None:
        return None
    return _scaled(resolution, 2.0 ** (spec.mesh.levels - 1))


def _coarser(fine: Any) -> Iterator[Any]:
    """Resolutions below the finest, the coarsest first; sides keep their proportions."""
    longest, n = max(fine) if isinstance(fine, tuple) else fine, 2
    while n < longest:
        yield _scaled(fine, n / longest)
        n = max(n + 1, int(n * STEP))


def _on(spec: Spec, resolution: Any) -> Spec:
    """The spec on one mesh of another resolution."""
    raw = spec.model_dump(mode="json")
    raw["mesh"] |= {"resolution": resolution, "levels": 1, "grid": None}
    return parse_spec(raw)


def _scaled(resolution: Any, factor: float) -> Any:
    if isinstance(resolution, tuple):
        return tuple(max(1, round(n * factor)) for n in resolution)
    return max(1, round(resolution * factor))
