"""Names survive storage, and the way to any number of ranks."""

import meshes  # isort: skip
import numpy as np
import pytest
import ufl
from dolfinx import default_scalar_type, fem
from dolfinx.mesh import meshtags
from mpi4py import MPI

from meshes import (
    MeshError,
    TaggedMesh,
    UnitSquare,
    cell_tags_from_tree,
    facet_tags_from_tree,
    mesh_from_tree,
    mesh_tree,
    tagged_tree,
)
from storage.spaces import read_spaces, write_spaces
from tests.meshes.test_domains import CURVED, STRAIGHT, facet_measures


def shuffled(tree, seed=1):
    """The tree with vertices and cells in another order."""
    rng = np.random.default_rng(seed)
    new = rng.permutation(len(tree["points"]))
    number = np.argsort(new)
    cells = number[tree["cells"]][rng.permutation(len(tree["cells"]))]
    tags = tree["facet_tags"] | {"vertices": number[tree["facet_tags"]["vertices"]]}
    return tree | {"points": tree["points"][new], "cells": cells, "facet_tags": tags}


def measure(mesh, facets):
    tags = meshtags(mesh, mesh.topology.dim - 1, facets, np.ones(len(facets), dtype=np.int32))
    one = fem.Constant(mesh, default_scalar_type(1))
    form = fem.form(one * ufl.Measure("ds", mesh, subdomain_data=tags)(1))
    return mesh.comm.allreduce(fem.assemble_scalar(form))


# Each launch of mpiexec costs seconds: one launch checks every domain.
@pytest.mark.parallel([1, 2, 3])
def test_each_name_has_its_length():
    comm = MPI.COMM_WORLD
    for domain, _, expected in [*STRAIGHT, *CURVED]:
        tree = shuffled(mesh_tree(domain)) if comm.rank == 0 else None
        tree = comm.bcast(tree)
        mesh = mesh_from_tree(comm, tree)
        tags, sizes = facet_tags_from_tree(mesh, tree), facet_measures(tree)
        assert set(tags) == {*expected, "boundary"}
        for name in expected:
            value = tree["facet_tags"]["names"][name]
            exact = sizes[tree["facet_tags"]["values"] == value].sum()
            assert measure(mesh, tags[name]) == pytest.approx(exact, rel=1e-12), (domain, name)
        assert measure(mesh, tags["boundary"]) == pytest.approx(sizes.sum(), rel=1e-12)
        assert comm.allreduce(len(tags["boundary"])) == len(sizes)


@pytest.mark.parallel([1, 2, 3])
def test_interior_facets_and_subdomains():
    comm = MPI.COMM_WORLD
    plain = UnitSquare(6).mesh()
    middle = plain.points[plain.cells].mean(axis=1)[:, 0]
    facets = [[a, b] for cell in plain.cells for a, b in ((cell[0], cell[1]), (cell[0], cell[2]))]
    x = plain.points[np.array(facets)][:, :, 0]
    interface = np.unique(np.sort(np.array(facets)[(x == 0.5).all(axis=1)], axis=1), axis=0)
    halves = {"west": np.flatnonzero(middle < 0.5), "east": np.flatnonzero(middle > 0.7)}
    named = TaggedMesh(plain.points, plain.cells, "triangle", {"interface": interface}, halves)
    tree = tagged_tree(named)
    mesh = mesh_from_tree(comm, tree)
    tags = facet_tags_from_tree(mesh, tree)
    assert comm.allreduce(len(tags["interface"])) == len(interface) == 6
    assert comm.allreduce(len(tags["boundary"])) == 24
    owned = mesh.topology.index_map(2).size_local
    cells = cell_tags_from_tree(mesh, tree)
    for name, stored in halves.items():
        assert comm.allreduce(int((cells[name] < owned).sum())) == len(stored)
        assert np.isin(mesh.topology.original_cell_index[cells[name]], stored).all()


@pytest.mark.parallel([1, 2])
def test_foreign_tags_are_refused_on_all_ranks():
    tree = mesh_tree(UnitSquare(3))
    wrong = tree["facet_tags"]["vertices"].copy()
    far = np.argsort(np.abs(tree["points"] - tree["points"][wrong[5, 0]]).sum(axis=1))[-1]
    wrong[5, 1] = far
    tree["facet_tags"]["vertices"] = wrong
    with pytest.raises(MeshError, match="facet 5 of facet_tags"):
        facet_tags_from_tree(mesh_from_tree(MPI.COMM_WORLD, tree), tree)


def test_tags_are_stored_and_read(tmp_path):
    tree = mesh_tree(UnitSquare(2))
    write_spaces(tmp_path / "spaces.h5", {"mesh": tree})
    read = read_spaces(tmp_path / "spaces.h5", verify=True)["mesh"]
    assert read["facet_tags"]["names"] == {"left": 1, "right": 2, "bottom": 3, "top": 4}
    assert np.array_equal(read["facet_tags"]["vertices"], tree["facet_tags"]["vertices"])
    assert read["facet_tags"]["values"].dtype == np.int32
    first = facet_tags_from_tree(mesh_from_tree(MPI.COMM_SELF, tree), tree)
    again = facet_tags_from_tree(mesh_from_tree(MPI.COMM_SELF, read), read)
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_a_mesh_without_names_has_a_boundary():
    tree = tagged_tree(
        TaggedMesh(*[getattr(UnitSquare(2).mesh(), k) for k in ("points", "cells")], "triangle")
    )
    assert "facet_tags" not in tree
    tags = facet_tags_from_tree(mesh_from_tree(MPI.COMM_SELF, tree), tree)
    assert len(tags.pop("boundary")) == 8 and not tags
    assert meshes.tag_names(tree) == ("boundary",)
