"""Small real meshes of every cell type with shuffled vertices, and every space on them."""

import numpy as np

from meshes import SpaceName, make_space, mesh_from_tree

# isort: split
import basix
from mpi4py import MPI

CELLS = ["interval", "triangle", "tetrahedron", "quadrilateral", "hexahedron"]
GDIM = {"interval": 1, "triangle": 2, "tetrahedron": 3, "quadrilateral": 2, "hexahedron": 3}
SIMPLICES = CELLS[:3]


def names(cell):
    found = [SpaceName("P", k) for k in (1, 2, 3)] + [SpaceName("DG", k) for k in (0, 1)]
    found += [SpaceName("MINI", 1), SpaceName("P", 2, (2,))]
    gdim = GDIM[cell]
    if gdim > 1:
        found += [SpaceName("RT", 1), SpaceName("RT", 2), SpaceName("BDM", 1)]
        found += [SpaceName("N1curl", 1), SpaceName("N1curl", 2), SpaceName("MINI", 1, (gdim,))]
        found += [SpaceName("N2curl", 1)]
        family = "CR" if cell in SIMPLICES else "Q"
        found += [SpaceName(family, 1)]
    return found


CASES = [(cell, name) for cell in CELLS for name in names(cell)]
IDS = [f"{cell}-{name}" for cell, name in CASES]


def cube(cell, n=2):
    """A regular mesh tree of the unit cube of the cell's dimension."""
    import dolfinx.mesh as dm

    kind, comm = dm.CellType[cell], MPI.COMM_SELF
    if cell == "interval":
        mesh = dm.create_unit_interval(comm, 2 * n)
    elif GDIM[cell] == 2:
        mesh = dm.create_unit_square(comm, n, n, kind)
    else:
        mesh = dm.create_unit_cube(comm, n, n, n, kind)
    return {
        "points": np.array(mesh.geometry.x[:, : GDIM[cell]]),
        "cells": np.array(mesh.geometry.dofmaps[0], dtype=np.int64),
        "cell_type": cell,
        "gdim": GDIM[cell],
        "tdim": GDIM[cell],
    }


def symmetries(cell):
    """Orders of a cell's vertices that are the same cell, all of them."""
    import itertools

    corners = np.asarray(basix.geometry(basix.CellType[cell]))
    if cell in SIMPLICES:
        return np.array(list(itertools.permutations(range(len(corners)))))
    found = []
    for axes in itertools.permutations(range(corners.shape[1])):
        for flips in itertools.product([0, 1], repeat=corners.shape[1]):
            moved = np.abs(corners[:, axes] - np.array(flips))
            found.append(moved @ 2 ** np.arange(corners.shape[1]))
    return np.array(found, dtype=int)


def shuffled(tree, seed=3, moved=True):
    """The mesh with vertices, cells and the order within each cell shuffled, vertices moved."""
    rng = np.random.default_rng(seed)
    points, cells = tree["points"], tree["cells"]
    new = rng.permutation(len(points))
    cells = np.argsort(new)[cells][rng.permutation(len(cells))]
    orders = symmetries(tree["cell_type"])
    cells = np.take_along_axis(cells, orders[rng.integers(len(orders), size=len(cells))], axis=1)
    points = points[new]
    if moved:
        inner = np.all((points > 1e-9) & (points < 1 - 1e-9), axis=1)
        points = points + 0.06 * inner[:, None] * rng.uniform(-1, 1, points.shape)
    return tree | {"points": points, "cells": cells}


def space(tree, name):
    return make_space(mesh_from_tree(MPI.COMM_SELF, tree), name)


def random_reference(cell, count, rng):
    X = rng.uniform(0.02, 0.98, (count, GDIM[cell]))
    if cell in SIMPLICES:
        X = rng.dirichlet(np.ones(GDIM[cell] + 1), count)[:, 1:]
    return np.ascontiguousarray(X)
