"""Which forms are affine in which data."""

import meshes  # noqa: F401  isort: skip
import numpy as np
import pytest
import ufl
from dolfinx import fem
from dolfinx.mesh import create_unit_square
from mpi4py import MPI
from ufl import dx

from meshes.affine_degree import is_affine

MESH = create_unit_square(MPI.COMM_SELF, 2, 2)
V = fem.functionspace(MESH, ("P", 1))
a, f, w = fem.Function(V), fem.Function(V), fem.Function(V)
c, e = fem.Constant(MESH, 2.0), fem.Constant(MESH, np.ones(2))
u, v = ufl.TrialFunction(V), ufl.TestFunction(V)
x, n = ufl.SpatialCoordinate(MESH), ufl.FacetNormal(MESH)
grad, inner = ufl.grad, ufl.inner

AFFINE = [
    a * inner(grad(u), grad(v)) * dx,
    (a + 2 * f - 1) / w * u * v * dx,
    inner(grad(a * u), grad(v)) * dx + f * u * v * ufl.ds,
    ufl.div(a * e / 2) * v * dx,
    inner(ufl.as_vector([a, f]), grad(u)) * v * dx,
    ufl.conditional(ufl.gt(w, 0), a, 2 * f) * v * dx,
    a * ufl.sin(w * x[0]) ** 2 * inner(n, e) * v * ufl.ds,
    inner(ufl.sym(ufl.outer(grad(a), grad(u))), ufl.Identity(2)) * v * dx,
    inner(w * w * grad(u), grad(v)) * dx,
]
OTHERS = [
    a * f * u * v * dx,
    a**2 * u * v * dx,
    u * v / a * dx,
    ufl.sqrt(a) * u * v * dx,
    abs(a) * u * v * dx,
    ufl.max_value(a, 1.0) * u * v * dx,
    ufl.conditional(ufl.gt(a, 0), 1.0, 2.0) * v * dx,
    ufl.conditional(ufl.gt(w, 0), a * a, 2.0) * v * dx,
    inner(grad(a), grad(f)) * v * dx,
    u * v * dx + inner(grad(a * u), grad(f * v)) * ufl.ds,
]


@pytest.mark.parametrize("form", AFFINE, ids=str)
def test_affine(form):
    assert is_affine(form, [a, f])


@pytest.mark.parametrize("form", OTHERS, ids=str)
def test_not_affine(form):
    assert not is_affine(form, [a, f])


def test_it_depends_on_what_varies():
    assert is_affine(a * f * u * v * dx, [a]) and is_affine(a * f * u * v * dx, [f])
    assert is_affine(c * inner(e, grad(u)) * v * dx, [c])
    assert not is_affine(c * inner(e, grad(u)) * v * dx, [c, e])
    assert is_affine(c**2 * a * u * v * dx, [a]) and not is_affine(c**2 * a * u * v * dx, [c])
