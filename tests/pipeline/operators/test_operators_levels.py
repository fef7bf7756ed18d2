"""Levels: prolongations that are stored or found through parents, and the matrices below."""

import numpy as np
import pytest
from operator_cases import darcy, solved

from pipeline.operators import TrainingError
from pipeline.operators.fe.levels import make_levels
from pipeline.operators.fe.places import dof_places
from pipeline.operators.task import make_task
from storage import open_dataset

FIELD = darcy(1, 1)["problem"]["coefficient"]
FLOW = {"family": "lid_driven_cavity", "viscosity": 0.1, "element": "taylor_hood"}
FLOW["speed"] = {"law": "chebyshev", "over": "x", "degree": 4, "mean": 1.0, "amplitude": 0.1}
SPECS = {
    "P1": darcy(16, 2),
    "P2": darcy(16, 2, output_space={"family": "P", "degree": 2}),
    "RT": darcy(16, 2) | {"problem": {"family": "darcy_mixed", "coefficient": FIELD}},
    "taylor-hood": darcy(16, 2) | {"problem": FLOW},
}


def levels_of(once, name, count=3):
    key = "square" if name == "P1" else name
    task = make_task(open_dataset(once(key, lambda folder: solved(SPECS[name], folder))))
    places = dof_places(task.mesh, [task.space(field) for field in task.outputs])
    return task, make_levels(task, places, count)


def linear(x):
    return 1 + 2 * x[:, 0] - 3 * x[:, 1]


@pytest.mark.parametrize("name", SPECS)
def test_linear_functions_go_up_unchanged(once, name):
    _, levels = levels_of(once, name)
    assert len(levels.levels) == 3 and len(levels.prolongations) == 2
    sizes = [len(level.places.points) for level in levels.levels]
    assert sizes[0] > sizes[1] > sizes[2]
    for fine, coarse, P in zip(
        levels.levels, levels.levels[1:], levels.prolongations, strict=False
    ):
        got = P @ linear(coarse.places.points)
        np.testing.assert_allclose(got, linear(fine.places.points), atol=1e-12)


@pytest.mark.parametrize("name", ["P1", "P2"])
def test_stored_prolongations_are_used(once, name):
    task, levels = levels_of(once, name)
    space = task.outputs[0].space
    for number, P in enumerate(levels.prolongations):
        stored = task.hierarchy[f"{1 - number}"]["prolongations"][space]["matrix"]
        assert P.shape == stored.shape and abs(P - stored).max() == 0
    if name == "P2":  # quadratics too, which parents' P1 functions would not give
        points = [level.places.points for level in levels.levels]
        got = levels.prolongations[0] @ points[1][:, 0] ** 2
        np.testing.assert_allclose(got, points[0][:, 0] ** 2, atol=1e-12)


@pytest.mark.parametrize("name", SPECS)
def test_matrices_below_are_galerkins(once, name):
    _, levels = levels_of(once, name)
    for fine, coarse, P in zip(
        levels.levels, levels.levels[1:], levels.prolongations, strict=False
    ):
        for part in ("stiffness", "mass"):
            K, Kc = (getattr(level, part).toarray() for level in (fine, coarse))
            np.testing.assert_allclose(Kc, P.T @ K @ P, atol=1e-12 * np.abs(Kc).max())
            np.testing.assert_allclose(Kc, Kc.T, atol=1e-12 * np.abs(Kc).max())
            assert np.linalg.eigvalsh(Kc).min() > -1e-10 * np.abs(Kc).max()


@pytest.mark.parametrize("name", SPECS)
def test_restriction_keeps_constants(once, name):
    _, levels = levels_of(once, name)
    for number in range(2):
        R = levels.restriction(number)
        np.testing.assert_allclose(R @ np.ones(R.shape[1]), 1.0, rtol=1e-12)


def test_boundary_is_fixed_on_all_levels(once):
    _, levels = levels_of(once, "P1")
    for level in levels.levels:
        x = level.places.points
        edge = (np.isclose(x, 0) | np.isclose(x, 1)).any(axis=1)
        np.testing.assert_array_equal(~level.free, edge)


def test_fewer_levels_are_the_finest_ones(once):
    _, two = levels_of(once, "P1", 2)
    _, three = levels_of(once, "P1", 3)
    sizes = [[len(level.places.points) for level in some.levels] for some in (two, three)]
    assert sizes[0] == sizes[1][:2]
    _, one = levels_of(once, "P1", 1)
    assert len(one.levels) == 1 and not one.prolongations


def test_more_levels_than_the_mesh_has_are_refused(once):
    with pytest.raises(TrainingError, match="`levels: 4` of the operator: .* has 3 levels"):
        levels_of(once, "P1", 4)
