"""Levels are nested, inherit their names, and keep volumes; snapping puts vertices on circles."""

import meshes  # isort: skip
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshes import (
    Annulus,
    Box,
    Disk,
    Interval,
    LShape,
    MeshError,
    PerforatedPlate,
    SlottedBlock,
    UnitSquare,
    check_quality,
    hierarchy,
    mesh_tree,
)
from meshes.quality import cell_volumes
from meshes.tagged import boundary_facets
from tests.meshes.test_domains import check_fully_named, facet_measures

HEX = "hexahedron"
DOMAINS = [Interval(3), LShape(2), UnitSquare(2, cell="quadrilateral"), Box((1, 2, 1))]
DOMAINS += [Box((1, 1, 2), cell=HEX), PerforatedPlate(0.2), Disk(0.5, cell="quadrilateral")]
DOMAINS += [SlottedBlock(6)]


def distorted(tree, seed=0, by=0.15):
    """The tree with vertices moved at random, so that no cell is special; faces may bend."""
    rng = np.random.default_rng(seed)
    volumes = cell_volumes(tree["points"], tree["cells"], tree["cell_type"])
    h = (volumes.min()) ** (1 / tree["tdim"])
    return tree | {"points": tree["points"] + by * h * rng.uniform(-1, 1, tree["points"].shape)}


def volumes_of(tree):
    return cell_volumes(tree["points"], tree["cells"], tree["cell_type"])


def check_levels(levels):
    for coarse, fine in zip(levels[:-1], levels[1:], strict=True):
        check_quality(fine["points"], fine["cells"], fine["cell_type"])
        volumes, parts = (
            cell_volumes(t["points"], t["cells"], t["cell_type"]) for t in (coarse, fine)
        )
        together = np.bincount(fine["parents"], parts, minlength=len(volumes))
        assert np.abs(together - volumes).max() < 1e-14
        assert fine["parents"].dtype == np.int64 and fine["nested"] is True
        # conforming: as many exterior facets as the coarse ones have children
        few, many = (len(boundary_facets(t["cells"], t["cell_type"])) for t in (coarse, fine))
        assert many == few * 2 ** (coarse["tdim"] - 1)


@pytest.mark.parametrize(
    "domain", DOMAINS, ids=lambda d: f"{type(d).__name__}-{mesh_tree(d)['cell_type']}"
)
def test_levels(domain):
    levels = hierarchy(mesh_tree(domain), 3)
    assert len(levels) == 3 and "parents" not in levels[0]
    check_levels(levels)
    for tree in levels:
        check_fully_named(tree)
        assert tree["facet_tags"]["names"] == levels[0]["facet_tags"]["names"]
    for value in levels[0]["facet_tags"]["names"].values():
        sums = [facet_measures(t)[t["facet_tags"]["values"] == value].sum() for t in levels]
        assert sums == pytest.approx([sums[0]] * 3, rel=1e-13)


@pytest.mark.parametrize("domain", DOMAINS[1:5], ids=lambda d: mesh_tree(d)["cell_type"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_levels_of_distorted_meshes(domain, seed):
    check_levels(hierarchy(distorted(mesh_tree(domain), seed), 2))


@pytest.mark.parametrize("domain", DOMAINS[:5], ids=lambda d: mesh_tree(d)["cell_type"])
def test_prolongation_is_exact(domain):
    """The parents are right: another module refuses cells that are not parts of their parents."""
    from mpi4py import MPI

    from meshes.prolongation import prolongation

    coarse, fine = hierarchy(distorted(mesh_tree(domain)), 2)
    spaces = []
    for tree in (coarse, fine):
        mesh = meshes.mesh_from_tree(MPI.COMM_SELF, tree)
        spaces.append(meshes.make_space(mesh, meshes.SpaceName("P", 1)))
    P, exact = prolongation(spaces[0], spaces[1], fine["parents"])
    assert exact
    x = [V.tabulate_dof_coordinates() for V in spaces]
    assert np.abs(P @ x[0] - x[1]).max() < 1e-13


def test_tetrahedra_keep_their_shape():
    """Bey's numbering: at most three shapes come of a tetrahedron, however often it is cut."""
    points = np.random.default_rng(5).normal(size=(4, 3))
    one = {"points": points, "cells": np.arange(4)[None], "cell_type": "tetrahedron"}
    shapes = set()
    for level, tree in enumerate(hierarchy(one | {"gdim": 3, "tdim": 3}, 6)):
        x = tree["points"][tree["cells"]] * 2**level
        edges = np.linalg.norm(x[:, :, None] - x[:, None], axis=3)[:, *np.triu_indices(4, 1)]
        shapes |= {tuple(row) for row in np.sort(edges, axis=1).round(6)}
    assert len(shapes) == 3


def test_subdomains_are_inherited_and_nothing_is_random():
    tree = mesh_tree(UnitSquare(2))
    values = np.arange(8, dtype=np.int32) % 3
    tree["cell_tags"] = {"values": values, "names": {"a": 1, "b": 2}}
    one, two = hierarchy(tree, 2)[1], hierarchy(tree, 2)[1]
    assert np.array_equal(one["cell_tags"]["values"], values[one["parents"]])
    assert all(np.array_equal(one[k], two[k]) for k in ("points", "cells", "parents"))
    assert np.array_equal(one["points"][: len(tree["points"])], tree["points"])


def test_snapping():
    domain = Annulus(0.3)
    tree = mesh_tree(domain)
    levels = hierarchy(tree, 3, domain.circles)
    for level in levels[1:]:
        assert level["nested"] is False
        tags = level["facet_tags"]
        for name, ((_, radius),) in domain.circles.items():
            rows = tags["vertices"][tags["values"] == tags["names"][name]]
            assert np.abs(np.hypot(*level["points"][np.unique(rows)].T) - radius).max() < 1e-9
    areas = [cell_volumes(t["points"], t["cells"], "triangle").sum() for t in levels]
    errors = 0.75 * np.pi - np.array(areas)
    assert (errors[:-1] / errors[1:] > 3.5).all()  # second order; without snapping it stays


def test_snapping_several_holes():
    holes = (((0.3, 0.3), 0.1), ((0.7, 0.7), 0.15))
    domain = PerforatedPlate(0.1, holes)
    fine = hierarchy(mesh_tree(domain), 2, domain.circles)[1]
    tags = fine["facet_tags"]
    x = fine["points"][np.unique(tags["vertices"][tags["values"] == tags["names"]["hole"]])]
    off = [np.abs(np.hypot(*(x - centre).T) - radius) for centre, radius in holes]
    assert np.min(off, axis=0).max() < 1e-9


def test_mistakes():
    tree = mesh_tree(UnitSquare(2))
    assert hierarchy(tree, 1) == [tree]
    with pytest.raises(MeshError, match="0 levels"):
        hierarchy(tree, 0)
    with pytest.raises(MeshError, match="'hole' to snap; the mesh has left"):
        hierarchy(tree, 2, {"hole": (((0.5, 0.5), 0.1),)})
    with pytest.raises(MeshError, match="inverted by the displacement"):
        hierarchy(tree, 2, {"left": (((0.5, 0.5), 0.05),)})
