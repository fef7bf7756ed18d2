"""The thermal block: orders, bounds, what flows in flows out, profiles that are known exactly."""

import meshes  # isort: skip
import numpy as np
import pytest
import ufl
from dolfinx import fem
from meshes_for_tests import cube, fitted_orders, problem_of, solve, square, tagged

from pipeline.families.thermal import Thermal, ThermalNonlinear
from pipeline.manufactured import consistency

RANDOM = {"law": "lognormal"}
SIDES = {"left": -60.0, "right": 80.0}


def make(degree=1, **more):
    space = {"family": "P", "degree": degree}
    return Thermal(
        **{"family": "thermal", "conductivity": RANDOM, "output_space": space, **SIDES} | more
    )


def nonlinear(degree=1, **more):
    space = {"family": "P", "degree": degree}
    given = {"family": "thermal_nonlinear", "conductivity": RANDOM, "slope": 0.3} | SIDES | more
    return ThermalNonlinear(**given, output_space=space)


@pytest.mark.parametrize("kind", [make, nonlinear])
@pytest.mark.parametrize("build", [square, cube])
def test_weak_and_strong_form_are_one(build, kind):
    assert consistency(kind(ratio="2 + x", angle="y", source="x"), *build(4)) < 1e-9


@pytest.mark.parametrize("kind", [make, nonlinear])
@pytest.mark.parametrize("degree, sizes", [(1, (8, 16, 32)), (2, (4, 8, 16)), (3, (4, 8, 16))])
def test_the_orders_are_those_of_theory(degree, sizes, kind):
    orders = fitted_orders(kind(degree, ratio=3.0, angle=0.4), square, sizes)["T"]
    np.testing.assert_allclose(orders, [degree + 1, degree], atol=0.15)


@pytest.mark.long
def test_the_orders_are_those_of_theory_in_space():
    orders = fitted_orders(make(ratio=3.0, angle=0.4), cube, (4, 8, 16))["T"]
    np.testing.assert_allclose(orders, [2, 1], atol=0.15)


def test_the_tensor_is_the_rotated_diagonal():
    mesh, facets = square(1)
    q, turn, r, k = meshes.UflCalculus(mesh, facets), 0.7, 3.0, 2.0
    c = type("Known", (), {"k": k, "r": r, "theta": turn})
    flux = make().conduct(q, 5 * q.x[0] - 4 * q.x[1], c)
    R = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    expected = k * R @ np.diag([1, r]) @ R.T @ [5, -4]
    found = [fem.assemble_scalar(fem.form(flux[i] * ufl.dx)) for i in range(2)]
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def block(n=16):
    return tagged(meshes.SlottedBlock(n))


def test_the_temperatures_of_the_sides_bound_all_others():
    problem = problem_of(make(conductivity="exp(3*sin(9*x)*cos(7*y))"), *square(16))
    solve(problem)
    T, ends = problem.w.x.array, (SIDES["left"], SIDES["right"])
    assert T.min() == pytest.approx(ends[0], abs=1e-9)
    assert T.max() == pytest.approx(ends[1], abs=1e-9)


def heat_through(problem, family, side):
    """The consistent flux out of a side, ∫ (K ∇T)·n v with v = 1 there: the weak form at v."""
    V, q = problem.W, problem.q
    c = problem._data.symbols
    residual = family.weak(q, problem.w, ufl.TestFunction(V), c)
    reactions = fem.assemble_vector(fem.form(residual)).array
    dofs = fem.locate_dofs_topological(V, problem.mesh.topology.dim - 1, q.facets[side])
    return reactions[dofs].sum()


@pytest.mark.parametrize("kind", [make, nonlinear])
def test_what_flows_in_at_one_side_flows_out_at_the_other(kind):
    family = kind(
        conductivity="1 + x*y",
        ratio=2.0,
        angle=0.3,
        **({"slope": 0.002} if kind is nonlinear else {}),
    )
    problem = problem_of(family, *block())
    solve(problem)
    left, right = (heat_through(problem, family, side) for side in ("left", "right"))
    assert right > 20
    assert left == pytest.approx(-right, rel=1e-9)


def test_a_slot_stands_in_the_way_of_heat():
    flows = []
    for where in (square(16), block()):
        family = make(conductivity=2.0)
        problem = problem_of(family, *where)
        solve(problem)
        flows.append(heat_through(problem, family, "right"))
    assert flows[0] == pytest.approx(2.0 * 140.0, rel=1e-10)  # k (T_r − T_l)
    assert 0.3 * flows[0] < flows[1] < 0.97 * flows[0]


def test_without_a_slot_the_profile_is_linear():
    problem = problem_of(make(2, conductivity=3.0, ratio=5.0), *square(4))
    solve(problem)
    x = problem.W.tabulate_dof_coordinates()
    np.testing.assert_allclose(problem.w.x.array, -60 + 140 * x[:, 0], atol=1e-9)


def test_with_a_sloping_conductivity_kirchhoffs_transform_is_linear():
    """T + β T²/2 is linear in x; on squares even P1 has it exactly in the nodes."""
    beta = 0.008
    there = square(8, cell="quadrilateral")
    problem = problem_of(nonlinear(conductivity=3.0, slope=beta), *there)
    outcome = solve(problem)
    x, T = problem.W.tabulate_dof_coordinates(), problem.w.x.array
    theta = [t + beta * t**2 / 2 for t in SIDES.values()]
    np.testing.assert_allclose(
        T + beta * T**2 / 2, theta[0] + (theta[1] - theta[0]) * x[:, 0], atol=1e-8
    )
    assert 2 < outcome.systems < 10
    assert np.abs(T - (-60 + 140 * x[:, 0])).max() > 5
