"""Samples with a geometry of their own, on one reference mesh."""

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

RANGES = {
    "x": {"low": 0.45, "high": 0.55},
    "y": {"low": 0.45, "high": 0.55},
    "radius": {"low": 0.12, "high": 0.24},
}


def spec(**morph):
    return parse_spec(
        {
            "name": "moving",
            "samples": 6,
            "problem": {"family": "poisson"},
            "mesh": {"domain": "perforated_plate", "size": 0.12, "morph": morph or RANGES},
            "design": {"kind": "latin_hypercube", "block": 6},
        }
    )


def test_the_hole_of_each_sample_is_the_polygon_of_its_circle():
    import ufl
    from dolfinx import fem

    made = spec()
    tree = spaces_tree(made)
    there, sampler = Discretisation(made, tree, MPI.COMM_SELF), Sampler(made, tree)
    cells, edge = tree["mesh"]["facet_tags"], tree["mesh"]["facet_tags"]["names"]["hole"]
    sides = int((np.asarray(cells["values"]) == edge).sum())
    area = fem.form(fem.Constant(there.problem.mesh, 1.0) * ufl.dx)
    for i in range(6):
        columns = sampler.inputs(i)
        there.set(columns)
        radius = columns["parameters/hole_radius"]
        polygon = 0.5 * sides * radius**2 * np.sin(2 * np.pi / sides)
        assert abs(fem.assemble_scalar(area) - (1 - polygon)) < 1e-3 * polygon


def test_moving_samples_are_stored_and_check(tmp_path):
    made = spec()
    stages.solve(made, tmp_path, quiet=True)
    folder = DataFolder(stages.sample(made, tmp_path))
    stages.finalise(made, folder)
    assert stages.check(made, folder, full=True).sound
    dataset = open_dataset(folder.path)
    assert dataset.inputs == ["displacement"]
    assert set(dataset.parameters) == {"hole_radius", "hole_x", "hole_y"}
    assert np.ptp(dataset.column("parameters/hole_x")) > 0.04
    largest = [u.max() for u in dataset.read("u")]
    assert np.corrcoef(largest, dataset.column("parameters/hole_radius"))[0, 1] < -0.5


def test_a_sample_whose_mesh_folds_fails_and_says_where(tmp_path):
    made = spec()
    tree = spaces_tree(made)
    there = Discretisation(made, tree, MPI.COMM_SELF)
    columns = Sampler(made, tree).inputs(0)
    columns["inputs/displacement"] = columns["inputs/displacement"] * -40
    why = there.refusal(columns)
    assert why is not None and "folds" in why and "cell" in why


def test_a_range_beyond_the_map_is_a_mistake_of_the_spec():
    with pytest.raises(SpecError, match="too far"):
        spec(x={"low": 0.2, "high": 0.8})
