"""The error of the finite-element solutions themselves: is the network or the mesh the limit?

A sample is solved again on the once-refined mesh, with the same inputs as functions: laws that
are functions of (seed, i) and of the point draw them finer, which is checked. The stored solution
u_h is prolonged exactly, and

    ‖u_h − u_{h/2}‖ / ‖u_{h/2}‖

is its error up to the factor 1 / (1 − 2^−p) of a method of order p: 2 for p = 1, 4/3 for p = 2.
"""

from contextlib import closing
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.spec import Spec
from pipeline.spec_errors import SpecError
from storage import Dataset

__all__ = ["mesh_error"]

Array = NDArray[np.float64]
Columns = dict[str, Array]
SAME = 1e-8  # of the values of an input, at the points of the coarse mesh


def mesh_error(spec: Spec, samples: Dataset, operator: Any, count: int = 4) -> Any:
    """Return the `MeshError` of the first samples; it says why where there is none. Serial.

    Args:
        spec: of the data set.
        samples: of which the first `count` are solved again.
        operator: whose predictions are compared.
        count: how many.
    """
    from pipeline.operators.validation.evaluate import MeshError

    if spec.mesh.moves:
        return MeshError(skipped="the mesh differs from sample to sample")
    finer = spec.model_copy(
        update={"mesh": spec.mesh.model_copy(update={"levels": spec.mesh.levels + 1})}
    )
    try:
        tree, ids = _tree(finer), samples.ids[:count]
        if (why := _other_numbering(tree, samples)) is not None:
            return MeshError(skipped=why)
        solved = _solve(finer, tree, ids)
    except SpecError as error:
        return MeshError(skipped=f"the spec has no finer mesh ({error})")
    if len(solved) < len(ids):
        return MeshError(skipped="a sample could not be solved on the finer mesh")
    for name in samples.inputs:
        if (moved := _difference(tree, samples, name, solved)) > SAME:
            return MeshError(
                skipped=f"the law of {name} draws another function on a finer mesh (difference "
                f"{moved:.0e}); take a law that is a function of the point, such as cosine"
            )
    return _compared(tree, samples, operator, solved)


def _tree(spec: Spec) -> Any:
    from pipeline.spaces import spaces_tree

    return spaces_tree(spec)


def _coarse(tree: Any) -> Any:
    """The level below the finest."""
    return tree["hierarchy"][max(tree["hierarchy"], key=int)]


def _other_numbering(tree: Any, samples: Dataset) -> str | None:
    """The finer tree's coarse level has to be the data set's mesh and numbering."""
    spaces = _coarse(tree)["spaces"]
    for name in (*samples.inputs, *samples.outputs):
        key = samples.fields[name].space
        if not np.array_equal(spaces[key]["dofmap"], samples.spaces[key]["dofmap"]):
            return "refining the mesh anew numbers its dofs in another way"
    return None


def _solve(spec: Spec, tree: Any, ids: NDArray[np.int64]) -> dict[int, Columns]:
    """Solve samples by a direct method: id → input and output columns."""
    import meshes  # noqa: F401, I001 - loads h5py, DOLFINx and MPI in the order they need
    from mpi4py import MPI

    from pipeline.chains import Batch
    from pipeline.in_flight import InFlight
    from pipeline.interrupt import stoppable
    from solvers import Strategy, solve_stream

    found: dict[int, Columns] = {}
    with stoppable() as stop:
        systems = InFlight(spec, tree, [Batch(0, 0, ids, 0)], MPI.COMM_SELF, stop, 1)
        strategy = Strategy(ksp="preonly", pc="lu", factor_solver="mumps")
        with closing(solve_stream(systems, strategy, rtol=spec.rtol, comm=MPI.COMM_SELF)) as stream:
            for solution in chain(stream, [None]):  # the last sample ends after the last system
                if solution is not None:
                    systems.receive(solution)
                for outcome, inputs, _, outputs in systems.finished():
                    if outcome.converged:
                        found[int(outcome.id)] = inputs | outputs
        stop.check()
    return found


def _difference(tree: Any, samples: Dataset, name: str, solved: dict[int, Columns]) -> float:
    """Largest difference between a stored input and the finer one at the coarse dofs' points."""
    from storage.function import StoredFunction

    key = samples.fields[name].space
    space, worst = samples.spaces[key], 0.0
    if "points" not in space:
        return 0.0
    for row, columns in enumerate(solved.values()):
        fine = StoredFunction(tree["mesh"], tree["spaces"][key], columns[f"inputs/{name}"])
        known = samples.read(name, row).reshape(-1, int(space["block_size"]))
        wrong = np.abs(fine(np.asarray(space["points"])) - known).max()
        worst = max(worst, float(wrong / max(np.abs(known).max(), 1e-300)))
    return worst


def _compared(tree: Any, samples: Dataset, operator: Any, solved: dict[int, Columns]) -> Any:
    from pipeline.operators.fe.norms import NORMS, gram, relative_errors
    from pipeline.operators.validation.evaluate import MeshError

    task, rows = operator.task, np.arange(len(solved))
    truth, predicted = task.truth(samples, rows), operator.predict(task.given(samples, rows))
    P = _coarse(tree)["prolongations"]
    mesh, network, total = ({norm: np.zeros(len(rows)) for norm in NORMS} for _ in range(3))
    for field in task.outputs:
        key, count = field.space, len(task.outputs)
        fine = np.stack([np.asarray(c[f"outputs/{field.name}"]) for c in solved.values()])
        fine = fine.reshape(len(rows), task.steps[field.name], -1)
        stored, said = (_prolonged(P[key]["matrix"], v[field.name]) for v in (truth, predicted))
        for norm in NORMS:
            fine_gram, own = gram(tree["spaces"][key], norm), gram(task.space(field), norm)
            mesh[norm] += relative_errors(fine_gram, stored, fine) / count
            total[norm] += relative_errors(fine_gram, said, fine) / count
            wrong = relative_errors(own, predicted[field.name], truth[field.name])
            network[norm] += wrong / count
    return MeshError(samples.ids[rows], mesh, network, total)


def _prolonged(matrix: Any, values: Array) -> Array:
    flat = values.reshape(-1, values.shape[-1])
    return np.asarray(matrix @ flat.T).T.reshape(*values.shape[:2], -1)
