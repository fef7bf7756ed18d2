"""A function comes back from a written `spaces.h5` with Basix alone, for every space."""

import subprocess
import sys

import numpy as np
import pytest

from meshes import space_tree
from storage import StoredFunction, read_spaces, write_spaces

# isort: split
from dolfinx import fem

from tests.meshes.space_cases import CASES, IDS, cube, random_reference, shuffled, space


def written(tmp_path, tree, V):
    write_spaces(tmp_path / "spaces.h5", {"mesh": tree, "spaces": {"V": space_tree(V)}})
    tables = read_spaces(tmp_path / "spaces.h5", verify=True)
    return tables["mesh"], tables["spaces"]["V"]


@pytest.mark.parametrize(("cell", "name"), CASES, ids=IDS)
def test_round_trip(tmp_path, cell, name):
    rng = np.random.default_rng(5)
    tree = shuffled(cube(cell))
    V = space(tree, name)
    u = fem.Function(V)
    u.x.array[:] = rng.normal(size=u.x.array.size)
    stored = StoredFunction(*written(tmp_path, tree, V), u.x.array)
    cells = rng.integers(len(tree["cells"]), size=60)
    X = random_reference(cell, 60, rng)
    points, _ = stored._map(cells, X)
    local = np.argsort(V.mesh.topology.original_cell_index)[cells]
    padded = np.zeros((60, 3))
    padded[:, : points.shape[1]] = points
    expected = u.eval(padded, local.astype(np.int32)).reshape(60, -1)
    scale = np.abs(expected).max()
    assert np.abs(stored.evaluate(cells, X) - expected).max() < 1e-12 * scale
    assert np.abs(stored(points) - expected).max() < 1e-12 * scale


def test_a_point_outside_is_named(tmp_path):
    from meshes import SpaceName

    tree = shuffled(cube("triangle"))
    V = space(tree, SpaceName("P", 1))
    u = StoredFunction(*written(tmp_path, tree, V), np.zeros(9))
    with pytest.raises(ValueError, match="outside of the mesh"):
        u(np.array([[0.5, 0.5], [1.5, 0.5]]))
    with pytest.raises(ValueError, match=r"shape \(8,\); the space has 9"):
        StoredFunction(*written(tmp_path, tree, V), np.zeros(8))


def test_basix_alone():
    code = (
        "import sys, storage, basix; from storage.elements import shape_functions;"
        "import numpy as np; shape_functions('triangle', np.zeros((1, 2)));"
        "print([m for m in ('mpi4py', 'petsc4py', 'dolfinx', 'ufl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
