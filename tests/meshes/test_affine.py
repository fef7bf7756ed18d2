"""Sparse products make the same A and b as the forms, for the families that are affine in data."""

import meshes  # noqa: F401  isort: skip
import dolfinx.fem.petsc as fem_petsc
import numpy as np
import pytest
from mpi4py import MPI

from meshes.problem import _PATIENCE
from pipeline.discretisation import Discretisation
from pipeline.sampler import Sampler
from pipeline.spaces import spaces_tree
from pipeline.spec import parse_spec

SAMPLES = _PATIENCE + 3
LOG = {"law": "lognormal", "field": {"kind": "cosine", "sigma": 1.0}}
FIELD = {"law": "gaussian", "mean": 1.0, "field": {"kind": "cosine"}}
PHASES = {"law": "two_phase", "high": 10, "low": 5}
NUMBER = {"law": "uniform", "low": 0.1, "high": 0.4}
SQUARE = {"domain": "unit_square", "resolution": 7}
QUADS = SQUARE | {"cell": "quadrilateral"}
CUBE = {"domain": "box", "resolution": [3, 3, 3]}
HEXES = CUBE | {"cell": "hexahedron"}
STEP = {"domain": "backward_step", "resolution": 4, "inlet": 1.0, "outlet": 2.0}
P2 = {"family": "P", "degree": 2}
ROBIN = {"right": {"kind": "robin", "coefficient": "2 + y", "value": "x"}}


def darcy(**more):
    return {"family": "darcy", "coefficient": LOG} | more


AFFINE = {
    "darcy": (darcy(), SQUARE),
    "darcy, 3-D": (darcy(boundary="x*y"), CUBE),
    "darcy, DG0": (darcy(coefficient=PHASES, boundary="x*y"), SQUARE),
    "darcy, P2 coefficient": (darcy(coefficient=LOG | {"space": P2}, boundary="y"), SQUARE),
    "darcy, P2": (darcy(output_space=P2, boundary="x*y"), SQUARE),
    "darcy, P3 in 3-D": (darcy(output_space=P2 | {"degree": 3}), CUBE | {"resolution": [2, 2, 2]}),
    "darcy, CR": (darcy(output_space={"family": "CR", "degree": 1}), SQUARE),
    "darcy, Q1": (darcy(boundary="x*y"), QUADS),
    "darcy, hexahedra": (darcy(boundary=FIELD), HEXES),
    "darcy, all random": (darcy(source=FIELD, boundary=FIELD, sides=ROBIN), SQUARE),
    "darcy, random number": (darcy(coefficient=NUMBER, source=NUMBER, boundary="x"), SQUARE),
    "poisson": ({"family": "poisson", "source": FIELD, "boundary": FIELD}, SQUARE),
    "elasticity": (
        {"family": "elasticity", "modulus": LOG, "force_y": FIELD, "traction_x": NUMBER},
        {"domain": "rectangle", "resolution": [6, 4], "high": [3.0, 0.5]},
    ),
    "elasticity, P2, traction that is a field": (
        {"family": "elasticity", "modulus": LOG, "traction_y": FIELD, "output_space": P2},
        SQUARE,
    ),
    "curl-curl": ({"family": "curl_curl", "reluctivity": LOG, "kappa": NUMBER}, SQUARE),
    "curl-curl, 3-D": (
        {"family": "curl_curl", "reluctivity": LOG, "current_x": FIELD},
        CUBE,
    ),
    "thermal": ({"family": "thermal", "conductivity": LOG, "left": FIELD, "right": NUMBER}, SQUARE),
    "stokes": ({"family": "stokes", "viscosity": NUMBER, "inflow": FIELD, "span": [0.5, 1]}, STEP),
    "stokes, MINI": (
        {"family": "stokes", "viscosity": NUMBER, "span": [0.5, 1], "element": "mini"},
        STEP,
    ),
    "mixed darcy": (
        {"family": "darcy_mixed", "coefficient": 2.0, "source": FIELD, "boundary": FIELD},
        SQUARE,
    ),
    "convection": (
        {"family": "convection_diffusion", "diffusivity": LOG, "velocity_x": FIELD}
        | {"stabilise": False},
        SQUARE,
    ),
    "helmholtz": ({"family": "helmholtz", "wave_number": 7.0, "source": FIELD}, SQUARE),
}
OTHERS = {
    "helmholtz, k² of a field": ({"family": "helmholtz", "wave_number": LOG}, SQUARE),
    "absorbing": ({"family": "helmholtz_absorbing", "wave_number": NUMBER}, SQUARE),
    "mixed darcy, 1/a": ({"family": "darcy_mixed", "coefficient": LOG}, SQUARE),
    "thermal, a k r": (
        {"family": "thermal", "conductivity": LOG, "ratio": NUMBER, "left": 0.0, "right": 1.0},
        SQUARE,
    ),
    "elasticity, ν": ({"family": "elasticity", "modulus": 1.0, "ratio": NUMBER}, SQUARE),
    "convection, SUPG": (
        {"family": "convection_diffusion", "diffusivity": 0.1, "velocity_x": FIELD},
        SQUARE,
    ),
    "moving mesh": (
        darcy(coefficient="1 + x"),
        {
            "domain": "perforated_plate",
            "size": 0.25,
            "morph": {"radius": {"low": 0.1, "high": 0.2}},
        },
    ),
}


def made(problem, mesh):
    """Two discretisations of a spec, and its sampler."""
    raw = {"name": "t", "samples": SAMPLES, "seed": 3, "problem": problem, "mesh": mesh}
    spec = parse_spec(raw)
    tree = spaces_tree(spec)
    ours, theirs = (Discretisation(spec, tree, MPI.COMM_SELF) for _ in range(2))
    return ours, theirs, Sampler(spec, tree)


def values(system):
    """(indptr, indices, values) of A, and b."""
    A, b = system
    return (*A.getValuesCSR(), b.array.copy())


def by_petsc(problem):
    """The same of the present data, by DOLFINx' functions for PETSc alone."""
    a, L, bcs = problem._a, problem._L, problem.dirichlet.bcs
    A, b = fem_petsc.assemble_matrix(a, bcs=bcs), fem_petsc.assemble_vector(L)
    A.assemble()
    assert A.getBlockSize() == problem.A.getBlockSize()
    fem_petsc.apply_lifting(b, [a], bcs=[bcs])
    for bc in bcs:
        bc.set(b.array_w)
    return values((A, b))


def assert_same(ours, theirs, rtol=1e-13):
    """Equal patterns, and values to rounding in each row."""
    for one, other in zip(ours[:2], theirs[:2], strict=True):
        np.testing.assert_array_equal(one, other)
    largest = np.maximum.reduceat(np.abs(theirs[2]), theirs[0][:-1])
    bound = rtol * np.repeat(largest, np.diff(theirs[0]))
    assert np.all(np.abs(ours[2] - theirs[2]) <= bound)
    np.testing.assert_allclose(ours[3], theirs[3], rtol=0, atol=rtol * np.abs(theirs[3]).max())


@pytest.mark.parametrize("case", AFFINE)
def test_products_make_the_systems_of_affine_families(case):
    ours, theirs, sampler = made(*AFFINE[case])
    for i in range(SAMPLES):
        columns = sampler.inputs(i)
        theirs.set(columns)
        assert_same(values(ours.assemble(columns)), values(theirs.problem.assemble(by_forms=True)))
    assert ours.problem.affine and not theirs.problem.affine


@pytest.mark.parametrize("case", OTHERS)
def test_others_are_assembled_by_their_forms(case):
    ours, theirs, sampler = made(*OTHERS[case])
    for i in range(SAMPLES):
        columns = sampler.inputs(i)
        theirs.set(columns)
        assert_same(values(ours.assemble(columns)), by_petsc(theirs.problem))
    assert not ours.problem.affine


@pytest.mark.parametrize("theta", [1.0, 0.5])
def test_steps_in_time(theta):
    """The step before is part of b; with ϑ = ½ it meets the random diffusivity: not affine."""
    heat = {"family": "heat", "diffusivity": LOG, "source": FIELD, "start": FIELD, "boundary": "x"}
    more = {"end": 1.0, "steps": SAMPLES, "theta": theta}
    ours, theirs, sampler = made(heat | more, SQUARE)
    rng = np.random.default_rng(0)
    for i in range(2):
        for there in (ours, theirs):
            there.set(sampler.inputs(i))
            there.problem.start()
        for k in range(SAMPLES):
            state = rng.normal(size=ours.problem.free.size)
            for there in (ours, theirs):
                there.problem.set_time((k + 1) / SAMPLES, 1 / SAMPLES)
            assert_same(values(ours.problem.assemble()), by_petsc(theirs.problem))
            for there in (ours, theirs):
                there.problem.accept(state)
                there.problem.remember()
    assert ours.problem.affine == (theta == 1.0)
    for there in (ours, theirs):
        there.problem.set_time(2.0, 0.3)  # another step: a constant of T has changed
    assert_same(values(ours.problem.assemble()), by_petsc(theirs.problem))
    assert not ours.problem.affine


def test_stored_solutions_are_verified_by_the_forms():
    there, _, sampler = made(*AFFINE["darcy"])
    for i in range(SAMPLES):
        there.assemble(sampler.inputs(i))
    assert there.problem.affine
    (rho,) = there.residuals(sampler.inputs(0), {"u": np.zeros(there.problem.free.size)})
    assert abs(rho - 1) < 1e-14 and not there.problem.affine


@pytest.mark.parallel(2)
def test_several_ranks_assemble_by_the_forms():
    spec = parse_spec({"name": "t", "samples": SAMPLES, "problem": darcy(), "mesh": SQUARE})
    comm = MPI.COMM_WORLD
    tree = comm.bcast(spaces_tree(spec) if comm.rank == 0 else None)
    there, sampler = Discretisation(spec, tree, comm), Sampler(spec, tree)
    for i in range(SAMPLES):
        there.assemble(sampler.inputs(i))
    assert not there.problem.affine
