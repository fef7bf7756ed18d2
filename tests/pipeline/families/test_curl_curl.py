"""Curl–curl: orders in the plane and in space, symmetry, gradients in the kernel."""

import meshes  # isort: skip
import numpy as np
import pytest
import ufl
from dolfinx import fem, geometry
from meshes_for_tests import cube, fitted_orders, problem_of, square

from pipeline.families.curl_curl import CurlCurl
from pipeline.manufactured import consistency
from pipeline.symbolic import SymbolicCalculus

RANDOM = {"law": "lognormal"}


def make(degree=1, **more):
    space = {"family": "N1curl", "degree": degree}
    return CurlCurl(family="curl_curl", output_space=space, **more)


@pytest.mark.parametrize("build", [square, cube])
def test_weak_and_strong_form_are_one(build):
    family = make(reluctivity=RANDOM, kappa=RANDOM, current_x="y", current_y=2)
    assert consistency(family, *build(3)) < 1e-9


@pytest.mark.parametrize("degree", [1, 2])
def test_the_orders_are_those_of_theory(degree):
    orders = fitted_orders(make(degree, reluctivity=RANDOM), square, (8, 16, 32))["E"]
    np.testing.assert_allclose(orders, [degree, degree], atol=0.15)


@pytest.mark.long
@pytest.mark.parametrize("degree, sizes", [(1, (4, 8, 12)), (2, (3, 5, 7))])
def test_the_orders_are_those_of_theory_in_space(degree, sizes):
    orders = fitted_orders(make(degree, reluctivity=RANDOM), cube, sizes)["E"]
    np.testing.assert_allclose(orders, [degree, degree], atol=0.15)


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("build", [square, cube])
def test_gradients_are_in_the_kernel_of_the_symmetric_curl_part(build, degree):
    problem = problem_of(make(degree, kappa=0.0, reluctivity="1 + x"), *build(3))
    A, _ = problem.assemble()
    assert (A - A.copy().transpose()).norm() < 1e-13 * A.norm()
    V = fem.functionspace(problem.mesh, ("P", degree))
    phi, gradient = fem.Function(V), fem.Function(problem.W)
    phi.x.array[:] = np.random.default_rng(2).normal(size=phi.x.array.size)
    facets = problem.q.facets["boundary"]
    phi.x.array[fem.locate_dofs_topological(V, problem.mesh.topology.dim - 1, facets)] = 0.0
    points = problem.W.element.interpolation_points
    gradient.interpolate(fem.Expression(ufl.grad(phi), points))
    x = gradient.x.petsc_vec
    assert x.norm() > 1 and (A * x).norm() < 1e-12 * A.norm() * x.norm()
    dense = A.convert("dense").getDenseArray()
    assert np.linalg.eigvalsh(dense).min() > -1e-12


@pytest.mark.parametrize("dim", [2, 3])
def test_both_calculi_curl_alike(dim):
    mesh, facets = (square if dim == 2 else cube)(1)
    q, s = meshes.UflCalculus(mesh, facets), SymbolicCalculus(dim)

    def field(c):
        x = [c.x[i] for i in range(dim)]
        return c.vector([x[1] ** 2 * x[0], x[0] ** 3 * x[-1], x[0] * x[1] ** 2][:dim])

    point = (0.3, 0.7, 0.2)[:dim]
    for curl, theirs in (
        (q.curl(field(q)), s.curl(field(s))),
        (q.curl(q.curl(field(q))), s.curl(s.curl(field(s)))),
    ):
        parts = [curl[i] for i in range(dim)] if curl.ufl_shape else [curl]
        flat = list(theirs) if curl.ufl_shape else [theirs]
        expected = [e.subs(dict(zip(s.coordinates, point, strict=True))) for e in flat]
        found = [value_at(mesh, part, point) for part in parts]
        np.testing.assert_allclose(found, np.array(expected, dtype=float), atol=1e-12)


def value_at(mesh, expression, point):
    """A scalar UFL expression at a point."""
    x = np.array([[*point, 0.0][:3]])
    hits = geometry.compute_collisions_points(geometry.bb_tree(mesh, mesh.topology.dim), x)
    cell = geometry.compute_colliding_cells(mesh, hits, x).links(0)[:1]
    nodes = mesh.geometry.x[mesh.geometry.dofmaps[0][cell[0]]][:, : len(point)]
    reference = np.linalg.solve((nodes[1:] - nodes[0]).T, np.array(point) - nodes[0])
    values = fem.Expression(expression, reference[None]).eval(mesh, cell)
    return float(np.ravel(values)[0])
