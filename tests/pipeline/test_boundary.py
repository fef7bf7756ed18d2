"""Conditions on named sides: exact solutions with fluxes and exchanges, and what is refused."""

import numpy as np
import pytest
from mpi4py import MPI

from pipeline.discretisation import Discretisation
from pipeline.spaces import spaces_tree
from pipeline.spec import parse_spec
from pipeline.spec_errors import SpecError


def solved(sides, boundary, coefficient="1.0", samples=1):
    """The vertices and the solution of −∇·(a ∇u) = 0 on an 8 × 8 square."""
    from solvers import Strategy, System, solve_stream

    spec = parse_spec(
        {
            "name": "t",
            "samples": samples,
            "problem": {
                "family": "darcy",
                "coefficient": coefficient,
                "source": 0,
                "boundary": boundary,
                "sides": sides,
            },
            "mesh": {"domain": "unit_square", "resolution": 8},
        }
    )
    tree = spaces_tree(spec)
    there = Discretisation(spec, tree, MPI.COMM_SELF)
    A, b = there.assemble({})
    system = System(0, A, b, there.problem.free)
    (found,) = solve_stream(
        [system], Strategy(ksp="preonly", pc="lu"), rtol=1e-12, comm=MPI.COMM_SELF
    )
    return tree["spaces"]["P1"]["points"], found.x


NO_FLUX = {"kind": "neumann", "flux": 0}


def test_a_flux_drives_a_linear_profile():
    sides = {"right": {"kind": "neumann", "flux": 3}, "bottom": NO_FLUX, "top": NO_FLUX}
    points, u = solved(sides, boundary=1, coefficient="2.0")  # 2 u' = 3, u(0) = 1
    assert np.abs(u - (1 + 1.5 * points[:, 0])).max() < 1e-10


def test_an_exchange_balances_the_flux():
    robin = {"kind": "robin", "coefficient": 4, "value": 6}
    points, u = solved({"right": robin, "bottom": NO_FLUX, "top": NO_FLUX}, boundary=1)
    slope = 4 * (6 - 1) / (1 + 4)  # u' = 4 (6 − u(1)), u(0) = 1
    assert np.abs(u - (1 + slope * points[:, 0])).max() < 1e-10


def test_fluxes_all_around_determine_nothing():
    with pytest.raises(SpecError, match="up to a constant"):
        solved({"boundary": NO_FLUX}, boundary=0)


def test_an_unknown_side_is_named_with_those_there_are():
    with pytest.raises(SpecError, match=r"'lid'.*bottom.*left"):
        solved({"lid": NO_FLUX}, boundary=0)


def test_walls_all_around_are_refused():
    spec = parse_spec(
        {
            "name": "t",
            "samples": 2,
            "problem": {
                "family": "darcy_mixed",
                "coefficient": {"law": "lognormal"},
                "walls": ["left", "right", "bottom", "top"],
            },
            "mesh": {"domain": "unit_square", "resolution": 3},
        }
    )
    with pytest.raises(SpecError, match="walls all around"):
        spaces_tree(spec)
