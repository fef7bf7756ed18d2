"""`Dataset.function`, `hierarchy` and `derivatives` of written data sets."""

import numpy as np
import pytest
from synthetic import make_dataset

from storage import open_dataset


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    kinds = ("scalar", "mixed", "time", "displacement")
    return {kind: open_dataset(make_dataset(root, kind)) for kind in kinds}


def test_a_field_at_the_vertices_is_its_coefficients(sets):
    dataset = sets["scalar"]
    u = dataset.function("u", 5)
    assert np.abs(u(dataset.mesh["points"])[:, 0] - dataset.read("u", 5)).max() < 1e-13
    assert u.time is None and u.mesh is dataset.mesh
    velocity = sets["mixed"].function("velocity", 2)(np.array([[0.3, 0.4]]))
    assert velocity.shape == (1, 2)


def test_a_step_counts_among_those_that_count(sets):
    dataset = sets["time"]
    row = 1  # 3 of 5 steps count, the others hold NaN
    used = int(dataset.read("times_mask", row).sum())
    assert used == 3
    values, times = dataset.read("u", row), dataset.read("times", row)
    for step, place in [(-1, 2), (0, 0), (1, 1), (-3, 0)]:
        u = dataset.function("u", row, step)
        assert u.time == times[place]
        assert np.abs(u(dataset.mesh["points"])[:, 0] - values[place]).max() < 1e-13
    for step in (3, -4):
        with pytest.raises(IndexError, match=f"step {step} of 'u': sample 1 has 3 time steps"):
            dataset.function("u", row, step)


def test_a_sample_has_its_own_geometry(sets):
    dataset = sets["displacement"]
    moves = dataset.read("displacement", 3).reshape(-1, 2)
    points = np.asarray(dataset.mesh["points"])
    assert np.abs(moves).max() > 1e-3
    u, d = dataset.function("u", 3), dataset.function("displacement", 3)
    assert np.array_equal(u.mesh["points"], points + moves)
    assert np.abs(u(points + moves)[:, 0] - dataset.read("u", 3)).max() < 1e-12
    assert np.abs(d(points) - moves).max() < 1e-13, "the displacement is on the reference mesh"


def test_wrong_names_and_rows(sets):
    with pytest.raises(KeyError, match=r"'v' is none of the fields \['a', 'u'\]"):
        sets["scalar"].function("v", 0)
    with pytest.raises(IndexError, match="sample 24 of 24"):
        sets["scalar"].function("u", 24)


def test_tables_that_are_not_there_are_empty(sets):
    assert dict(sets["scalar"].hierarchy) == {} and dict(sets["scalar"].derivatives) == {}
