"""gmsh's current model: a session of its own, and its elements as arrays."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshes.quality import MeshError
from meshes.tagged import TaggedMesh, drop_unused

__all__ = ["elements", "gmsh_session", "nodes", "plane_mesh"]

Numbers = NDArray[np.int64]

_SERIAL = {"General.Terminal": 0, "General.NumThreads": 1, "Mesh.RandomSeed": 1}
_TYPES = {15: "point", 1: "interval", 2: "triangle", 3: "quadrilateral", 4: "tetrahedron"}
_TYPES |= {5: "hexahedron"}
# gmsh goes round a face, Basix counts in the order of a tensor product
_BASIX_ORDER = {"quadrilateral": [0, 1, 3, 2], "hexahedron": [0, 1, 3, 2, 4, 5, 7, 6]}


@contextmanager
def gmsh_session() -> Iterator[Any]:
    """Start gmsh without terminal, settings of the user or signal handlers; end it after.

    Yields:
        The module `gmsh`, with an empty model.

    Raises:
        MeshError: gmsh isn't installed, can't be loaded, or failed within.
    """
    try:
        import gmsh
    except (ImportError, OSError) as error:
        raise MeshError(
            f"gmsh can't be loaded ({error}); pip install gmsh, and on Debian apt-get install "
            "libgl1 libglu1-mesa libxcursor1 libxft2 libxinerama1 libgomp1"
        ) from error
    gmsh.initialize(readConfigFiles=False, interruptible=False)
    try:
        for name, value in _SERIAL.items():
            gmsh.option.setNumber(name, value)
        yield gmsh
    except MeshError:
        raise
    except Exception as error:  # gmsh raises bare Exceptions
        raise MeshError(f"gmsh failed: {error}") from error
    finally:
        gmsh.finalize()


def plane_mesh(
    gmsh: Any, size: float, cell: str, length: Callable[[float, float], float] | None = None
) -> TaggedMesh:
    """Mesh the plane geometry of the current OpenCASCADE model, without names.

    Args:
        gmsh: The module, in a session.
        size: Length of an edge, about.
        cell: "triangle" or "quadrilateral".
        length: Length of an edge at (x, y), where it is not the same everywhere.
    """
    if cell not in ("triangle", "quadrilateral"):
        raise MeshError(f"cells {cell!r} in a plane domain; expected triangle or quadrilateral")
    if not size > 0:
        raise MeshError(f"cells of size {size!r}; expected a positive length")
    # All quadrilaterals: recombined triangles are halved once more, so they are twice as large.
    factor = 2.0 if cell == "quadrilateral" else 1.0
    gmsh.model.occ.synchronize()
    for option in ("FromPoints", "FromCurvature", "ExtendFromBoundary"):
        gmsh.option.setNumber(f"Mesh.MeshSize{option}", 0)
    gmsh.option.setNumber("Mesh.MeshSizeMax", factor * size)
    if length is not None:
        gmsh.model.mesh.setSizeCallback(lambda dim, tag, x, y, z, lc: factor * length(x, y))
    if cell == "quadrilateral":
        gmsh.option.setNumber("Mesh.RecombineAll", 1)
        gmsh.option.setNumber("Mesh.SubdivisionAlgorithm", 1)
    gmsh.model.mesh.generate(2)
    tags, points = nodes(gmsh)
    kind, cells = elements(gmsh, 2)
    points, cells, _ = drop_unused(points[:, :2], np.searchsorted(tags, cells))
    return TaggedMesh(points, cells, kind)


def nodes(gmsh: Any) -> tuple[Numbers, NDArray[np.float64]]:
    """Return the tags of the nodes, ascending, shape (n,), and their points, shape (n, 3)."""
    tags, points, _ = gmsh.model.mesh.getNodes()
    order = np.argsort(tags)
    return np.asarray(tags, dtype=np.int64)[order], np.asarray(points).reshape(-1, 3)[order]


def elements(gmsh: Any, dim: int, entity: int = -1) -> tuple[str, Numbers]:
    """Return cell type, and tags of the nodes in Basix's order, of the elements of a dimension.

    Args:
        gmsh: The module, in a session.
        dim: Dimension of the elements.
        entity: Of which entity; −1: of all.

    Returns:
        Name of the cell type, and tags, shape (n, k); "" and shape (0, 0) if there are none.

    Raises:
        MeshError: Several cell types, cells of an order above 1, or of an unknown type.
    """
    kinds, _, tags = gmsh.model.mesh.getElements(dim, entity)
    if not len(kinds):
        return "", np.empty((0, 0), dtype=np.int64)
    about = [gmsh.model.mesh.getElementProperties(kind) for kind in kinds]
    curved = [name for name, _, order, *_ in about if order > 1]
    if curved:
        raise MeshError(
            f"the mesh has cells of higher order ({', '.join(curved)}); only straight-sided ones "
            "are stored: mesh with Mesh.ElementOrder = 1"
        )
    if len(kinds) > 1 or int(kinds[0]) not in _TYPES:
        raise MeshError(
            f"the mesh has cells of these types in dimension {dim}: "
            f"{', '.join(name for name, *_ in about)}; expected a single one, of "
            f"{', '.join(_TYPES.values())}"
        )
    kind, count = _TYPES[int(kinds[0])], about[0][3]
    rows = np.asarray(tags[0], dtype=np.int64).reshape(-1, count)
    return kind, rows[:, _BASIX_ORDER.get(kind, list(range(count)))]
