"""Volumes of the cells of a stored mesh."""

from __future__ import annotations

from collections.abc import Mapping
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["volumes"]

_BOXES = ("quadrilateral", "hexahedron")


def volumes(mesh: Mapping[str, Any]) -> NDArray[np.float64]:
    """Volumes of simplices; of other cells, that of the box spanned by the first vertices."""
    corners = np.asarray(mesh["points"])[np.asarray(mesh["cells"])]
    tdim = int(mesh["tdim"])
    first = [1, 2, 4][:tdim] if str(mesh["cell_type"]) in _BOXES else list(range(1, tdim + 1))
    edges = corners[:, first] - corners[:, :1]
    squares = np.linalg.det(edges @ edges.transpose(0, 2, 1))
    scale = 1 if str(mesh["cell_type"]) in _BOXES else factorial(tdim)
    return np.sqrt(np.maximum(squares, 0.0)) / scale
