"""Small tagged meshes, and families posed on them, for the tests of families."""

import meshes  # isort: skip
import numpy as np
from mpi4py import MPI

from pipeline.expressions import function
from pipeline.manufactured import manufactured_errors
from pipeline.march import march
from solvers import Strategy, solve_stream


def tagged(domain, comm=MPI.COMM_SELF):
    """The mesh of a domain of `meshes`, and its facet tags."""
    tree = comm.bcast(meshes.mesh_tree(domain) if comm.rank == 0 else None)
    mesh = meshes.mesh_from_tree(comm, tree)
    return mesh, meshes.facet_tags_from_tree(mesh, tree)


def square(n, comm=MPI.COMM_SELF, **more):
    """The unit square in n² squares, two triangles each: left, right, bottom, top."""
    return tagged(meshes.UnitSquare(n, **more), comm)


def cube(n, comm=MPI.COMM_SELF):
    """The unit cube in n³ cubes: left, right, front, back, bottom, top."""
    return tagged(meshes.Box((n, n, n)), comm)


def problem_of(family, mesh, facets):
    """The `meshes.Problem` of a family none of whose quantities is random."""
    outputs = {o.symbol: meshes.SpaceName(*o.space.key) for o in family.outputs(mesh.geometry.dim)}
    known = {q.symbol: function(str(q.value)) for q in family.quantities()}
    return meshes.Problem(family, mesh, facets, outputs, meshes.Data(expressions=known))


def solve(problem, rtol=1e-11, times=()):
    """Solve in place by MUMPS (and Newton's method); returns the outcome."""
    coroutine = march(problem, 0, rtol, np.float64, list(times))
    step = [next(coroutine)]

    def systems():
        while step:
            yield step[-1]

    strategy = Strategy(ksp="preonly", pc="lu")
    for solution in solve_stream(systems(), strategy, rtol=rtol, comm=problem.comm):
        try:
            step.append(coroutine.send(solution))
        except StopIteration as end:
            step.clear()
            assert end.value.converged, end.value.reason
            problem.accept(end.value.states[-1])
            return end.value


def fitted_orders(family, build, sizes):
    """Output → orders of (L², derivative), the slopes of a least-squares fit over the meshes."""
    errors = [manufactured_errors(family, *build(n)) for n in sizes]
    found = {}
    for parts in zip(*errors, strict=True):
        logs = np.log([[e.l2, e.derivative] for e in parts])
        found[parts[0].name] = -np.polyfit(np.log(sizes), logs, 1)[0]
    return found
