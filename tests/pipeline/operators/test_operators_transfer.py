"""The encoder's matrix between two spaces on one mesh."""

import numpy as np
import pytest
from darcy_data import Square

from pipeline.operators import TrainingError
from pipeline.operators.fe.transfer import transfer_matrix


@pytest.fixture(scope="module")
def spaces():
    one, two = Square(4, 1, 0.2), Square(4, 2, 0.2)
    return one.mesh(), {"p1": one.space(), "p2": two.space(), "dg0": one.constants()}


def test_same_space_is_the_identity(spaces):
    mesh, by_name = spaces
    matrix = transfer_matrix(mesh, by_name["p2"], dict(by_name["p2"]))
    assert (matrix != np.eye(matrix.shape[0])).sum() == 0


@pytest.mark.parametrize("pair", [("p1", "p2"), ("p2", "p1"), ("p1", "dg0"), ("p2", "dg0")])
def test_linear_functions_are_reproduced(spaces, pair):
    mesh, by_name = spaces
    source, target = (by_name[name] for name in pair)

    def f(x):
        return 1 + 2 * x[:, 0] - 3 * x[:, 1]

    got = transfer_matrix(mesh, source, target) @ f(source["points"])
    np.testing.assert_allclose(got, f(target["points"]), atol=1e-12)


def test_quadratics_are_taken_at_vertices(spaces):
    mesh, by_name = spaces
    two, one = by_name["p2"], by_name["p1"]

    def f(x):
        return x[:, 0] ** 2 - x[:, 0] * x[:, 1]

    got = transfer_matrix(mesh, two, one) @ f(two["points"])
    np.testing.assert_allclose(got, f(one["points"]), atol=1e-12)
    assert transfer_matrix(mesh, two, one).nnz == len(one["points"])


def test_constants_become_volume_weighted_means(spaces):
    mesh, by_name = spaces
    values = np.random.default_rng(0).standard_normal(len(mesh["cells"]))
    corners = mesh["points"][mesh["cells"]]
    edges = corners[:, 1:] - corners[:, :1]
    area = np.abs(np.linalg.det(edges)) / 2
    for name in ("p1", "p2"):
        got = transfer_matrix(mesh, by_name["dg0"], by_name[name]) @ values
        dofmap = by_name[name]["dofmap"]
        for i in (0, 7, len(got) - 1):
            cells = np.flatnonzero((dofmap == i).any(axis=1))
            np.testing.assert_allclose(got[i], np.average(values[cells], weights=area[cells]))


def test_spaces_without_point_values_are_refused(spaces):
    mesh, by_name = spaces
    lacking = {k: v for k, v in by_name["p2"].items() if k != "points"}
    with pytest.raises(TrainingError, match="no point values"):
        transfer_matrix(mesh, lacking, by_name["p1"])
