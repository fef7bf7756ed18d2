"""Data that can't be solved for: refused at once where all samples have them, else one by one."""

import numpy as np
import pytest
from mpi4py import MPI

from pipeline import stages
from pipeline.discretisation import Discretisation
from pipeline.sampler import Sampler
from pipeline.spaces import spaces_tree
from pipeline.spec import parse_spec
from pipeline.spec_errors import SpecError
from storage import DataFolder, open_dataset


def spec(problem, samples=12, **mesh):
    square = {"domain": "unit_square", "resolution": 5, **mesh}
    return parse_spec({"name": "t", "samples": samples, "problem": problem, "mesh": square})


def darcy(mean, **more):
    law = {"law": "gaussian", "mean": mean, "field": {"kind": "cosine", "sigma": 1.0}}
    return {"family": "darcy", "coefficient": law, **more}


def test_samples_that_are_not_positive_fail_alone(tmp_path):
    made = spec(darcy(mean=0.6))
    stages.solve(made, tmp_path, quiet=True)
    folder = DataFolder(stages.sample(made, tmp_path))
    stages.finalise(made, folder)
    dataset = open_dataset(folder.path)
    failures = dataset.manifest["failures"]
    sampler = Sampler(made, spaces_tree(made))
    bad = {i for i in range(12) if sampler.inputs(i)["inputs/a"].min() <= 0}
    assert {failure["id"] for failure in failures} == bad and 0 < len(bad) < 12
    assert all("has to be positive" in failure["reason"] for failure in failures)
    assert dataset.read("a").min() > 0 and len(dataset) == 12 - len(bad)
    assert stages.check(made, folder, full=True).sound


def test_a_run_without_a_good_sample_says_so(tmp_path):
    made = spec(darcy(mean=-50.0), samples=3)
    stages.solve(made, tmp_path, quiet=True)
    folder = DataFolder(stages.sample(made, tmp_path))
    assert stages.status(made, folder).failed == 3
    assert stages.finalise(made, folder)["failed"] == 3


@pytest.mark.parametrize("value", ["-1", "0", "x - 0.5"])
def test_numbers_and_expressions_that_are_not_positive_are_refused(value):
    problem = {"family": "darcy", "coefficient": value, "source": {"law": "gaussian"}}
    with pytest.raises(SpecError, match="has to be positive everywhere"):
        spaces_tree(spec(problem))


@pytest.mark.parametrize(
    "problem",
    [
        {"family": "elasticity", "modulus": {"law": "lognormal"}, "ratio": 0.5},
        {"family": "elasticity", "modulus": -1, "force_x": {"law": "gaussian"}},
        {"family": "stokes", "viscosity": 0, "inflow": {"law": "gaussian"}},
        {"family": "curl_curl", "kappa": 0, "reluctivity": {"law": "lognormal"}},
    ],
)
def test_families_know_their_limits(problem):
    with pytest.raises(SpecError, match="has to be"):
        spaces_tree(spec(problem))


def test_random_data_that_nothing_depends_on_are_refused():
    force = {"law": "gaussian"}
    with pytest.raises(SpecError, match="f_z is random, and nothing on this mesh depends on it"):
        spaces_tree(spec({"family": "elasticity", "modulus": 1.0, "force_z": force}))


def test_a_solution_without_its_random_boundary_value_is_found():
    heat = {"law": "uniform", "low": 1, "high": 2}
    made = spec({"family": "thermal", "conductivity": 1, "left": heat, "right": 0})
    tree = spaces_tree(made)
    assert "values" not in tree["fields"]["T"]  # they differ by sample
    there = Discretisation(made, tree, MPI.COMM_SELF)
    columns = Sampler(made, tree).inputs(0)
    points = tree["spaces"]["P1"]["points"]
    T = columns["parameters/T_l"] * (1 - points[:, 0])
    assert there.residuals(columns, {"T": T}) == [pytest.approx(0, abs=1e-12)]
    T[np.argmin(points.sum(axis=1))] += 1e-6
    assert there.residuals(columns, {"T": T}) == [np.inf]


@pytest.mark.parametrize(
    ("problem", "pair", "operator"),
    [
        ({"family": "darcy_mixed", "coefficient": {"law": "lognormal"}}, "RT1-DG0", "div"),
        ({"family": "curl_curl", "reluctivity": {"law": "lognormal"}}, "N1curl1-DG0", "curl"),
        ({"family": "elasticity", "modulus": {"law": "lognormal"}}, "P1x2-DG0", "div"),
    ],
)
def test_what_a_field_preserves_is_in_the_tables(problem, pair, operator):
    tree = spaces_tree(spec(problem))
    found = tree["derivatives"][pair]
    source, target = (tree["spaces"][found[key]] for key in ("source", "target"))
    assert found["operator"] == operator
    assert found["matrix"].shape == (target["dim"], source["dim"]) and found["matrix"].nnz
