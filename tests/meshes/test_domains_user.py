"""A user's own gmsh file: read in all four formats, and refused with the reason."""

import meshes  # isort: skip
import numpy as np
import pytest
from mpi4py import MPI

from meshes import MeshError, UserMesh, facet_tags_from_tree, mesh_from_tree, mesh_tree, tag_names
from meshes.gmsh_model import gmsh_session
from meshes.quality import cell_volumes
from tests.meshes.test_domains import check_fully_named, check_names

FORMATS = [(4.1, 0), (4.1, 1), (2.2, 0), (2.2, 1)]


def save(gmsh, path, version=4.1, binary=0):
    gmsh.option.setNumber("Mesh.MshFileVersion", version)
    gmsh.option.setNumber("Mesh.Binary", binary)
    gmsh.write(str(path))
    return path


def two_squares(gmsh, recombine=False, order=1, names=True):
    """(0, 1)² and (1, 2) × (0, 1), sharing a side; a stray point that no cell needs."""
    occ, model = gmsh.model.occ, gmsh.model
    pieces = [(2, occ.addRectangle(i, 0, 0, 1, 1)) for i in (0, 1)]
    occ.fragment(pieces[:1], pieces[1:])
    stray = occ.addPoint(5, 5, 0)
    occ.synchronize()
    gmsh.option.setNumber("Mesh.MeshSizeMax", 0.4)
    if names:
        sides = {"wall": [], "inlet": [], "interface": []}
        for _, line in model.getEntities(1):
            x, *_ = model.occ.getCenterOfMass(1, line)
            kind = "inlet" if x < 1e-6 else "interface" if abs(x - 1) < 1e-6 else "wall"
            sides[kind].append(line)
        for name, lines in sides.items():
            model.addPhysicalGroup(1, lines, name=name)
        model.addPhysicalGroup(2, [1], name="west")
        model.addPhysicalGroup(2, [2], 77)
        model.addPhysicalGroup(0, [stray], name="probe")
    if recombine:
        gmsh.option.setNumber("Mesh.RecombineAll", 1)
        gmsh.option.setNumber("Mesh.SubdivisionAlgorithm", 1)
    model.mesh.generate(2)
    model.mesh.setOrder(order)


def box(gmsh, hexahedra=False):
    volume = gmsh.model.occ.addBox(0, 0, 0, 1, 1, 2)
    gmsh.model.occ.synchronize()
    gmsh.option.setNumber("Mesh.MeshSizeMax", 0.7)
    if hexahedra:
        for _, line in gmsh.model.getEntities(1):
            gmsh.model.mesh.setTransfiniteCurve(line, 3)
        for _, face in gmsh.model.getEntities(2):
            gmsh.model.mesh.setTransfiniteSurface(face)
            gmsh.model.mesh.setRecombine(2, face)
        gmsh.model.mesh.setTransfiniteVolume(volume)
    gmsh.model.addPhysicalGroup(3, [volume], name="all")
    faces = [tag for _, tag in gmsh.model.getEntities(2)]
    heights = [gmsh.model.occ.getCenterOfMass(2, tag)[2] for tag in faces]
    order = np.argsort(heights)
    gmsh.model.addPhysicalGroup(2, [faces[order[0]]], name="floor")
    gmsh.model.addPhysicalGroup(2, [faces[i] for i in order[1:]], name="rest")
    gmsh.model.mesh.generate(3)


@pytest.mark.parametrize(("version", "binary"), FORMATS)
@pytest.mark.parametrize("recombine", [False, True])
def test_formats(tmp_path, version, binary, recombine):
    with gmsh_session() as gmsh:
        two_squares(gmsh, recombine)
        path = save(gmsh, tmp_path / "two.msh", version, binary)
    tree = mesh_tree(UserMesh(path))
    assert tree["cell_type"] == ("quadrilateral" if recombine else "triangle")
    assert tree["points"].shape[1] == 2 and tree["points"].max() == 2  # the stray point is gone
    assert cell_volumes(tree["points"], tree["cells"], tree["cell_type"]).sum() == pytest.approx(2)
    expected = {"wall": 5, "inlet": 1, "interface": 1}
    check_names(tree, {name: expected[name] for name in tag_names(tree)[:-1]}, 1e-12)
    west = tree["cell_tags"]["values"] == tree["cell_tags"]["names"]["west"]
    middle = tree["points"][tree["cells"]].mean(axis=1)[:, 0]
    assert np.array_equal(west, middle < 1)
    assert set(tree["cell_tags"]["names"]) == {"west", "group_77"}
    mesh = mesh_from_tree(MPI.COMM_SELF, tree)
    assert len(facet_tags_from_tree(mesh, tree)["interface"]) > 1


@pytest.mark.parametrize("hexahedra", [False, True])
def test_in_space(tmp_path, hexahedra):
    with gmsh_session() as gmsh:
        box(gmsh, hexahedra)
        path = save(gmsh, tmp_path / "box.msh")
    tree = mesh_tree(UserMesh(path, 3))
    assert tree["cell_type"] == ("hexahedron" if hexahedra else "tetrahedron")
    assert cell_volumes(tree["points"], tree["cells"], tree["cell_type"]).sum() == pytest.approx(2)
    check_names(tree, {name: {"floor": 1, "rest": 9}[name] for name in tag_names(tree)[:-1]}, 1e-12)
    check_fully_named(tree)
    fine = meshes.hierarchy(tree, 2)[1]
    check_fully_named(fine)


def test_without_groups(tmp_path):
    with gmsh_session() as gmsh:
        two_squares(gmsh, names=False)
        path = save(gmsh, tmp_path / "plain.msh")
    assert tag_names(mesh_tree(UserMesh(path))) == ("boundary",)
    _, _, inside = UserMesh(path).grid((5, 5))
    assert inside.all()


def test_files_that_are_no_meshes(tmp_path):
    with pytest.raises(MeshError, match=r"none.msh: can't be read \(No such file"):
        mesh_tree(UserMesh(tmp_path / "none.msh"))
    script = tmp_path / "evil.geo"
    script.write_text(f'SystemCall "touch {tmp_path}/ran";')
    for name in ("evil.geo", "evil.msh"):
        with pytest.raises(MeshError, match="is not a gmsh mesh"):
            mesh_tree(UserMesh(script.rename(tmp_path / name)))
        script = tmp_path / name
    assert not (tmp_path / "ran").exists()
    torn = tmp_path / "torn.msh"
    torn.write_text("$MeshFormat\n4.1 0 8\n$EndMeshFormat\n$Nodes\n1 1 1 1\n")
    with pytest.raises(MeshError, match="torn.msh: (gmsh failed|the mesh has no cells)"):
        mesh_tree(UserMesh(torn))


def ascii_mesh(path, points, elements):
    """A file of format 2.2; elements are (type, nodes counted from 1)."""
    lines = ["$MeshFormat", "2.2 0 8", "$EndMeshFormat", "$Nodes", str(len(points))]
    lines += [f"{i} {' '.join(map(str, x))}" for i, x in enumerate(points, start=1)]
    lines += ["$EndNodes", "$Elements", str(len(elements))]
    for i, (kind, vertices) in enumerate(elements, start=1):
        lines.append(f"{i} {kind} 2 1 1 {' '.join(map(str, vertices))}")
    path.write_text("\n".join([*lines, "$EndElements", ""]))
    return path


SQUARE = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (2, 0, 0)]


@pytest.mark.parametrize(
    ("points", "elements", "dimension", "match"),
    [
        (SQUARE, [(1, (1, 2)), (1, (2, 3))], 2, "cells of dimension 1; expected dimension 2"),
        (SQUARE, [(15, (1,))], None, "no cells"),
        (SQUARE, [(2, (1, 2, 5))], None, r"cell 0 with vertices \(0, 0\), .*is degenerate"),
        (SQUARE, [(2, (1, 2, 3)), (2, (3, 1, 2))], None, "cell 1 .*same vertices as cell 0"),
        (SQUARE, [(3, (1, 2, 4, 3))], None, "cell 0 .*inverted at a corner"),
        (SQUARE, [(2, (1, 2, 3)), (3, (1, 2, 3, 4))], None, "Triangle 3, Quadrilateral 4"),
        ([*SQUARE[:2], (1, 1, 1)], [(2, (1, 2, 3))], 2, "is not in the xy plane.*vary by 1"),
        ([(0, 0, 0), (1, 1, 0)], [(1, (1, 2))], 1, "is not on the x axis"),
        (SQUARE, [(2, (1, 2, 3)), (1, (1, 5))], None, "1 facets of physical group 'group_1'"),
    ],
)
def test_bad_meshes(tmp_path, points, elements, dimension, match):
    path = ascii_mesh(tmp_path / "bad.msh", points, elements)
    with pytest.raises(MeshError, match=f"bad.msh: .*{match}"):
        mesh_tree(UserMesh(path, dimension))


def test_a_plane_above_the_origin_is_flat(tmp_path):
    points = [(x, y, 3.5) for x, y, _ in SQUARE]
    path = ascii_mesh(tmp_path / "high.msh", points, [(2, (1, 2, 3)), (2, (1, 3, 4))])
    assert mesh_tree(UserMesh(path))["points"].shape == (4, 2)


def test_curved_cells_are_refused(tmp_path):
    with gmsh_session() as gmsh:
        two_squares(gmsh, order=2)
        path = save(gmsh, tmp_path / "curved.msh")
    with pytest.raises(MeshError, match="higher order .*Triangle 6.*ElementOrder = 1"):
        mesh_tree(UserMesh(path))


@pytest.mark.parametrize("name", ["boundary", "a/b"])
def test_names_that_cannot_be_stored(tmp_path, name):
    with gmsh_session() as gmsh:
        two_squares(gmsh, names=False)
        gmsh.model.addPhysicalGroup(1, [1], name=name)
        gmsh.model.addPhysicalGroup(2, [1, 2], name="all")
        path = save(gmsh, tmp_path / "name.msh")
    with pytest.raises(MeshError, match=f"physical group '{name}'.*rename"):
        mesh_tree(UserMesh(path))


def test_overlapping_subdomains_are_refused(tmp_path):
    with gmsh_session() as gmsh:
        two_squares(gmsh, names=False)
        gmsh.model.addPhysicalGroup(2, [1, 2], name="all")
        gmsh.model.addPhysicalGroup(2, [2], name="east")
        path = save(gmsh, tmp_path / "overlap.msh")
    with pytest.raises(MeshError, match="cell .* is in the physical groups 'all' and 'east'"):
        mesh_tree(UserMesh(path))
