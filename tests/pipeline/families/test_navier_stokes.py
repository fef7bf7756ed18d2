"""Navier–Stokes: orders, Kovasznay's flow, the DFG benchmark, the lid-driven cavity."""

from types import SimpleNamespace

import meshes  # isort: skip
import numpy as np
import pytest
import ufl
from dolfinx import fem, geometry
from meshes_for_tests import fitted_orders, problem_of, solve, square, tagged
from mpi4py import MPI

from pipeline.families.navier_stokes import LidDrivenCavity, NavierStokes
from pipeline.manufactured import consistency

ELEMENTS = ("taylor_hood", "mini")
SIDES = {"inlet": "left", "outlet": "right", "span": (0.0, 1.0)}


def channel(element="taylor_hood", cls=NavierStokes, **more):
    given = {"family": "navier_stokes", "element": element, "viscosity": 0.1, **SIDES, **more}
    return cls(**given)


def cavity(**more):
    return LidDrivenCavity(**{"family": "lid_driven_cavity", "viscosity": 0.1, **more})


class Kovasznay(NavierStokes):
    """L. I. G. Kovasznay, Proc. Camb. Phil. Soc. 44 (1948) 58, at Re = 40."""

    def exact(self, q):
        x, y, pi = q.x[0], q.x[1], np.pi
        k = 20 - np.sqrt(400 + 4 * pi**2)
        wake = q.exp(k * x)
        u = [1 - wake * q.cos(2 * pi * y), k / (2 * pi) * wake * q.sin(2 * pi * y)]
        return (q.vector(u), -wake * wake / 2), {}


@pytest.mark.parametrize("family", [channel(density=2), cavity(density=2)])
def test_weak_and_strong_form_are_one(family):
    assert consistency(family, *square(6)) < 1e-9


def orders_of(element, p_gain):
    k = 2 if element == "taylor_hood" else 1
    return {"u": [k + 1, k], "p": [k + p_gain, k - 1 + p_gain]}


@pytest.mark.parametrize("element", ELEMENTS)
def test_the_orders_are_those_of_theory(element):
    found = fitted_orders(channel(element), square, (16, 24, 36))
    gain = 0.0 if element == "taylor_hood" else 0.5  # see test_stokes.py
    for name, expected in orders_of(element, gain).items():
        np.testing.assert_allclose(found[name], expected, atol=0.15)


def test_a_closed_cavity_has_the_orders_too():
    found = fitted_orders(cavity(), square, (16, 24, 36))
    for name, expected in orders_of("taylor_hood", 0.0).items():
        np.testing.assert_allclose(found[name], expected, atol=0.15)


EXTREMA = {100: (-0.21404, 0.17957, -0.25380), 400: (-0.32873, 0.30383, -0.45406)}
"""Reynolds number → least u on x = ½, greatest and least v on y = ½: C. H. Marchi, R. Suero &
L. K. Araki, J. Braz. Soc. Mech. Sci. Eng. 31 (2009) 186; by U. Ghia, K. N. Ghia & C. T. Shin,
J. Comput. Phys. 48 (1982) 387, −0.2109, 0.1753, −0.2453 and −0.3273, 0.3020, −0.4499."""


@pytest.mark.long
@pytest.mark.parametrize("element", ELEMENTS)
def test_kovasznays_flow_is_met_with_the_orders_of_theory(element):
    family = channel(element, Kovasznay, viscosity=1 / 40)
    found = fitted_orders(family, square, (32, 48, 64))
    expected = orders_of(element, 0.0)
    np.testing.assert_allclose(found["u"], expected["u"], atol=0.15)
    if element == "taylor_hood":  # MINI's pressure gains half an order or, on these meshes, one
        np.testing.assert_allclose(found["p"], expected["p"], atol=0.15)


def test_kovasznays_flow_solves_the_strong_form():
    mesh, facets = square(4)
    q = meshes.UflCalculus(mesh, facets)
    family = channel(cls=Kovasznay, viscosity=1 / 40)
    (u, p), _ = family.exact(q)
    c = SimpleNamespace(mu=1 / 40, rho=1.0, f_x=0.0, f_y=0.0)
    momentum, mass = family.strong(q, (u, p), c)
    V = fem.functionspace(mesh, ("DG", 2))
    for part in (momentum[0], momentum[1], mass):
        f = fem.Function(V)
        f.interpolate(fem.Expression(part, V.element.interpolation_points))
        assert np.abs(f.x.array).max() < 1e-12


def dfg(size, element):
    """Drag and lift coefficients by the residual at the cylinder's dofs (the reaction)."""
    domain = meshes.ChannelCylinder(size, cylinder_size=size / 6)
    family = NavierStokes(family="navier_stokes", element=element)
    problem = problem_of(family, *tagged(domain))
    solve(problem, 1e-9)
    q = problem.q
    zero = fem.Constant(problem.mesh, 0.0)
    c = SimpleNamespace(
        mu=fem.Constant(problem.mesh, 1e-3), rho=fem.Constant(problem.mesh, 1.0), f_x=zero, f_y=zero
    )
    F = family.weak(q, ufl.split(problem.w), ufl.split(ufl.TestFunction(problem.W)), c)
    residual = fem.assemble_vector(fem.form(F)).array
    found = []
    for component in (0, 1):
        sub = problem.W.sub(0).sub(component)
        V, _ = sub.collapse()
        dofs = fem.locate_dofs_topological((sub, V), 1, q.facets["cylinder"])[0]
        found.append(-2 * residual[dofs].sum() / (0.2**2 * 0.1))
    return found


def test_drag_and_lift_are_those_of_the_dfg_benchmark():
    drag, lift = dfg(0.03, "taylor_hood")  # M. Schäfer & S. Turek (1996), case 2D-1
    assert drag == pytest.approx(5.5795, rel=0.01)
    assert lift == pytest.approx(0.0106, rel=0.02)


def at_points(problem, points):
    """The velocity at points."""
    V, dofs = problem.parts["u"]
    u = fem.Function(V)
    u.x.array[:] = problem.w.x.array[np.ravel(dofs)]
    tree = geometry.bb_tree(problem.mesh, 2)
    cells = geometry.compute_colliding_cells(
        problem.mesh, geometry.compute_collisions_points(tree, points), points
    )
    return u.eval(points, np.array([cells.links(i)[0] for i in range(len(points))]))


@pytest.mark.parametrize("reynolds, extrema", sorted(EXTREMA.items()))
def test_the_cavity_has_the_extrema_of_the_benchmark(reynolds, extrema):
    problem = problem_of(cavity(viscosity=1e-3, density=1e-3 * reynolds), *square(32))
    solve(problem, 1e-9)
    s = np.linspace(0.001, 0.999, 999)
    half, zero = np.full_like(s, 0.5), np.zeros_like(s)
    u = at_points(problem, np.stack([half, s, zero], 1))[:, 0]
    v = at_points(problem, np.stack([s, half, zero], 1))[:, 1]
    np.testing.assert_allclose([u.min(), v.max(), v.min()], extrema, rtol=0.003)


@pytest.mark.parallel([1, 2, 3])
def test_the_cavity_is_the_same_on_any_number_of_ranks():
    sums = []
    for comm in (MPI.COMM_SELF, MPI.COMM_WORLD):
        problem = problem_of(cavity(viscosity=1e-2), *square(8, comm))
        solve(problem, 1e-10)
        u, p = ufl.split(problem.w)
        forms = (ufl.inner(u, u) * ufl.dx, p * p * ufl.dx)
        sums.append([comm.allreduce(fem.assemble_scalar(fem.form(f))) for f in forms])
    np.testing.assert_allclose(*sums, rtol=1e-9)


@pytest.mark.long
def test_where_newtons_method_fails_the_lid_is_sped_up_in_steps():
    problem = problem_of(cavity(viscosity=1e-3), *square(48))  # Re = 1000
    outcome = solve(problem, 1e-9)
    assert outcome.ladder and outcome.residuals[-1] < 1e-9
    s = np.linspace(0.001, 0.999, 999)
    u = at_points(problem, np.stack([np.full_like(s, 0.5), s, 0 * s], 1))[:, 0]
    # O. Botella & R. Peyret, Comput. Fluids 27 (1998) 421
    assert u.min() == pytest.approx(-0.38857, rel=0.005)
