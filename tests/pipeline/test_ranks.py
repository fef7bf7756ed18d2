"""Every family on one rank, on farmed ranks, and with one system shared by ranks: the same data.

Inputs are equal bit for bit. Solutions differ by what the solver leaves: with true residuals
≤ 1e-10 and condition numbers up to about 1e5 (3-D plates, flows at these sizes) at most 1e-6 in
the relative 2-norm of the coefficients. One launch of `mpiexec` costs seconds, so that each makes
the data sets of all families, one after the other, by the stage that the command line calls.
"""

import sys

import numpy as np
import pytest
import yaml
from runs import folder_of, mpi

from pipeline.families import FAMILIES
from pipeline.spec_errors import tag_of
from storage import open_dataset

pytestmark = pytest.mark.timeout(280)

TOLERANCE = 1e-6
RTOL = 1e-10
LOG = {"law": "lognormal", "field": {"kind": "cosine", "sigma": 0.5}}
MATERN = {"law": "lognormal", "field": {"kind": "matern", "length": 0.4, "sigma": 0.5}}
PHASES = {"law": "two_phase", "high": 4.0, "low": 1.0}
FIELD = {"law": "gaussian", "field": {"kind": "cosine"}}
EDGES = {"law": "chebyshev", "over": "edges", "degree": 3}


def uniform(low, high):
    return {"law": "uniform", "low": low, "high": high}


def P(degree, family="P"):
    return {"family": family, "degree": degree}


def square(n, **more):
    return {"domain": "unit_square", "resolution": n, **more}


FLUX = {"right": {"kind": "neumann", "flux": "y"}, "top": {"kind": "robin", "coefficient": 2.0}}
STEP = {"domain": "backward_step", "resolution": 4, "inlet": 1.0, "outlet": 2.0}
HOLE = {"domain": "perforated_plate", "size": 0.15, "morph": {"x": {"low": 0.45, "high": 0.55}}}
CROSSED = square(5, diagonal="crossed")
BOX = {"domain": "box", "resolution": [3, 3, 3]}

# name: (problem, mesh), or (problem, mesh, other keys)
CASES = {
    "darcy_mixed": (
        {"family": "darcy_mixed", "coefficient": LOG, "source": PHASES, "boundary": FIELD,
         "walls": ["bottom", "top"]},
        square(6),
    ),
    "stokes": (
        {"family": "stokes", "inflow": FIELD, "viscosity": uniform(0.1, 1), "span": [0.5, 1.0]},
        STEP,
    ),
    "curl_curl": (
        {"family": "curl_curl", "reluctivity": PHASES, "kappa": 3.0, "current_x": FIELD,
         "current_y": "sin(3*x)", "output_space": P(2, "N1curl")},
        square(5),
    ),
    "lid_driven_cavity": (
        {"family": "lid_driven_cavity", "viscosity": uniform(0.02, 0.1), "speed": FIELD},
        square(6),
    ),
    "convection_diffusion": (
        {"family": "convection_diffusion", "diffusivity": uniform(0.01, 0.1),
         "velocity_x": uniform(1, 2), "velocity_y": FIELD, "boundary": EDGES, "sides": FLUX,
         "output_space": P(2)},
        square(6),
    ),
    "darcy": (
        {"family": "darcy", "coefficient": PHASES, "source": FIELD, "boundary": EDGES,
         "sides": FLUX, "output_space": P(3)},
        square(6, levels=1),
    ),
    "darcy moves": (
        {"family": "darcy", "coefficient": MATERN, "boundary": "x*y", "output_space": P(2)},
        HOLE,
    ),
    "darcy levels 3-D": (
        {"family": "darcy", "coefficient": MATERN, "output_space": P(2)},
        {"domain": "box", "resolution": [2, 2, 2], "levels": 2},
    ),
    "elasticity": (
        {"family": "elasticity", "modulus": LOG, "traction_y": uniform(-1, 1),
         "force_x": FIELD, "output_space": P(2)},
        square(5, cell="quadrilateral"),
    ),
    "heat": (
        {"family": "heat", "diffusivity": LOG, "start": FIELD, "boundary": EDGES, "end": 0.1,
         "steps": 4, "theta": 0.5, "sides": FLUX},
        square(6),
    ),
    "helmholtz": (
        {"family": "helmholtz", "wave_number": uniform(2, 3), "source": FIELD}, square(6),
    ),
    "helmholtz_absorbing": (
        {"family": "helmholtz_absorbing", "wave_number": LOG, "absorbing": ["left", "top"],
         "incoming_re": FIELD},
        square(6),
    ),
    "hyperelastic": (
        {"family": "hyperelastic", "modulus": LOG, "compression": uniform(0.01, 0.02),
         "force_y": 0.01, "steps": 2},
        {"domain": "rectangle", "resolution": [10, 2], "high": [1.0, 0.2],
         "cell": "quadrilateral"},
    ),
    "navier_stokes": (
        {"family": "navier_stokes", "inflow": uniform(0.1, 0.3), "viscosity": 0.01,
         "element": "mini"},
        {"domain": "channel_cylinder", "size": 0.15},
    ),
    "poisson": ({"family": "poisson", "source": FIELD, "boundary": EDGES}, square(6)),
    "reaction_diffusion": (
        {"family": "reaction_diffusion", "diffusivity": LOG, "cubic": uniform(1, 5),
         "boundary": EDGES, "sides": FLUX, "source": 10.0},
        square(6),
    ),
    "thermal": (
        {"family": "thermal", "conductivity": MATERN, "ratio": uniform(1, 5), "angle": 0.5,
         "left": uniform(0, 1), "right": FIELD},
        BOX,
    ),
    "thermal_nonlinear": (
        {"family": "thermal_nonlinear", "conductivity": LOG, "left": 0.0, "right": uniform(1, 2),
         "slope": 0.5},
        square(6),
    ),
    "darcy_mixed 3-D": (
        {"family": "darcy_mixed", "coefficient": LOG, "boundary": "x", "walls": ["bottom"],
         "flux_space": P(2, "RT")},
        {"domain": "box", "resolution": [2, 2, 2]},
    ),
    "curl_curl 3-D": (
        {"family": "curl_curl", "reluctivity": LOG, "current_z": FIELD,
         "output_space": P(2, "N1curl")},
        {"domain": "box", "resolution": [2, 2, 2]},
    ),
    "darcy, data that jump": (
        {"family": "darcy", "coefficient": 1.0, "boundary": PHASES, "output_space": P(2)},
        square(6, diagonal="crossed"),
    ),
    "heat, data that jump": (
        {"family": "heat", "diffusivity": 1.0, "start": PHASES, "end": 0.01, "steps": 2,
         "output_space": P(2)},
        square(6),
    ),
    "flow, data that jump": (
        {"family": "lid_driven_cavity", "viscosity": 0.1, "speed": PHASES}, square(6),
    ),
    "pins": ({"family": "pinned", "coefficient": LOG}, CROSSED, {"family_file": "pinned.py"}),
    "line": ({"family": "darcy", "coefficient": LOG, "boundary": "x", "output_space": P(2)},
             {"domain": "unit_interval", "resolution": 12}),
}  # fmt: skip
PINNED = """
from typing import Literal
from rekrylov import Coefficient, Family, Output, SpaceSpec, quantity


class Pinned(Family):
    '''Natural conditions; a scalar and a vector held at a point as far from four nodes.'''

    family: Literal["pinned"]
    coefficient: Coefficient = quantity("a", "coefficient", positive=True)
    STRATEGY = {"ksp": "preonly", "pc": "lu"}

    def outputs(self, dim):
        P1 = SpaceSpec(family="P", degree=1)
        return [Output("u", P1, "1", "scalar"), Output("w", P1.vector(dim), "1", "vector")]

    def strong(self, q, u, c):
        return tuple(-q.div(c.a * q.grad(part)) for part in u)

    def weak(self, q, u, v, c):
        work = sum(q.inner(q.grad(a), q.grad(b)) for a, b in zip(u, v))
        return q.dx(c.a * work - v[0] * (q.x[0] - 0.5) - v[1][0] * (q.x[1] - 0.5))

    def conditions(self, q, c):
        return [q.pin("u", (0.5, 0.4), 1.0), q.pin("w", (0.5, 0.4), 2.0)]
"""
# Elements with an orientation, mixed spaces, Newton's method, jumps: where ranks could disagree.
OFTEN = ["darcy_mixed", "stokes", "curl_curl", "lid_driven_cavity", "darcy, data that jump", "pins"]
WAYS = {"two ranks": (2, 1), "groups of two": (2, 2), "groups of three": (3, 3)}
TAGS = [tag_of(family) for family in FAMILIES]


def marks(way, name):
    """Every family shares systems between two ranks each time; the rest is long."""
    always = name in TAGS if way == "groups of two" else False
    often = name in OFTEN and way != "groups of three"
    return () if always or often else pytest.mark.long


PARAMETERS = [pytest.param(way, name, marks=marks(way, name)) for way in WAYS for name in CASES]

MAKE = """
import sys
from pathlib import Path
from rekrylov import load_spec, solve
root, size, *names = sys.argv[1:]
for name in names:
    spec = load_spec(f"{root}/{name}.yaml", [f"solve.ranks_per_solve={size}"])
    solve(spec, Path(root) / name, quiet=True)
"""


def make(rekrylov, folder, ranks, size, names):
    """The data sets of some cases; those that can't be made are missing."""
    (folder / "pinned.py").write_text(PINNED)
    for name in names:
        problem, mesh, *more = CASES[name]
        spec = {"name": "t", "seed": 3, "samples": 4, "rtol": RTOL, "storage": {"shard_size": 2}}
        spec |= {"problem": problem, "mesh": mesh} | (more[0] if more else {})
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(spec))
    command = [sys.executable, "-c", MAKE]
    command = mpi(ranks, command) if ranks > 1 else command
    done = rekrylov(folder, size, *names, command=command, timeout=250)
    assert done.code == 0, done.text


@pytest.fixture(scope="module")
def data(rekrylov, request, tmp_path_factory):
    """(way, case) → its folder; a launch makes all cases that the session asks for."""
    wanted, made = {}, {}
    for item in request.session.items:
        if getattr(item, "callspec", None) and item.module is request.module:
            way, name = item.callspec.params["way"], item.callspec.params["name"]
            wanted.setdefault(way, []).append(name)
    wanted["one rank"] = sorted({name for names in wanted.values() for name in names})

    def get(way, name):
        if way not in made:
            folder = made[way] = tmp_path_factory.mktemp("ranks")
            make(rekrylov, folder, *WAYS.get(way, (1, 1)), wanted[way])
        return folder_of(made[way] / name).path

    return get


def read(path):
    """Column → its rows in the order of ids."""
    dataset = open_dataset(path)
    order = np.argsort(dataset.ids)
    return {name: dataset.column(name)[order] for name in dataset.columns}


@pytest.mark.parametrize(("way", "name"), PARAMETERS)
def test_the_same_data(data, way, name):
    expected, found = read(data("one rank", name)), read(data(way, name))
    assert set(found) == set(expected)
    assert len(found["samples/id"]) == 4, "samples failed"
    for column, values in expected.items():
        kind = column.partition("/")[0]
        if kind in ("inputs", "parameters"):
            assert found[column].tobytes() == values.tobytes(), f"{column} differs"
        if kind == "outputs":
            for i, (ours, theirs) in enumerate(zip(found[column], values, strict=True)):
                error = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
                assert error <= TOLERANCE, f"{column} of sample {i} differs by {error:.1e}"
        if column == "solve/true_residual":
            assert found[column].max() <= RTOL


def test_every_family_is_here():
    there = {case[0]["family"] for case in CASES.values()}
    assert there >= {tag_of(family) for family in FAMILIES}
