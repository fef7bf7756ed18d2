"""Holes that move and grow: the reference mesh is deformed, so that dofs keep their meaning.

Pure NumPy. With c₀, r₀ the circle of the reference, ρ = |x − c₀|, r̂ = (x − c₀)/ρ, R_o the radius
up to which the map acts, and φ(t) = (1 − t)²(1 + 2t) the cubic step from 1 to 0,

    x ↦ x + φ((ρ − r₀)/(R_o − r₀)) [(c − c₀) + (r − r₀) r̂]    for ρ < R_o,    x otherwise.

Where ρ = r₀ this is c + r r̂: circles go exactly to circles, vertex by vertex. The map is once
continuously differentiable outside the hole. Its determinant is
(1 + φ (r − r₀)/ρ) (1 + φ' [(c − c₀)·r̂ + r − r₀]/(R_o − r₀)), and |φ'| ≤ 3/2, so it is one to one
if and only if r > 0 and 3/2 (|c − c₀| + r − r₀) < R_o − r₀.
"""

import numpy as np
from numpy.typing import NDArray

from meshes.quality import MeshError

__all__ = ["STEEPEST", "hole_morph", "morph_strain"]

Array = NDArray[np.float64]

STEEPEST = 1.5
"""Largest |φ'|."""


def morph_strain(
    centre0: tuple[float, float],
    radius0: float,
    centre: tuple[float, float],
    radius: float,
    outer: float,
) -> float:
    """Return 3/2 (|c − c₀| + max(r − r₀, 0)) / (R_o − r₀): below 1 the map is one to one."""
    shift = float(np.hypot(centre[0] - centre0[0], centre[1] - centre0[1]))
    return STEEPEST * (shift + max(radius - radius0, 0.0)) / (outer - radius0)


def hole_morph(
    points: Array,
    centre0: tuple[float, float],
    radius0: float,
    centre: tuple[float, float],
    radius: float,
    outer: float,
) -> Array:
    """Return the displacement that takes a hole's circle to another circle. Not collective.

    Good values: strain (`morph_strain`) up to 0.75, radius from 0.4 r₀. There no cell was found
    inverted on the meshes that gmsh makes with ten edges or more around the hole; the cells of a
    coarser mesh may be, although the map is one to one. `check_quality(points + displacement,
    cells, cell_type, points)` finds out.

    Args:
        points: Vertices of the reference mesh, none inside the hole, shape (nv, 2).
        centre0: Centre c₀ of the hole on the reference mesh.
        radius0: Its radius r₀ there.
        centre: Where the centre goes.
        radius: The new radius.
        outer: Radius R_o around c₀ beyond which nothing moves: at most the distance to the
            nearest other boundary (an annulus: its outer radius).

    Returns:
        Shape (nv, 2), in the units of `points`.

    Raises:
        MeshError: The map isn't one to one, or the radii are not 0 < r₀ < R_o.
    """
    if not 0 < radius0 < outer or not radius > 0:
        raise MeshError(
            f"hole of radius {radius0:g}, to become {radius:g}, nothing moving beyond {outer:g}; "
            "expected 0 < old radius < outer and a positive new radius"
        )
    strain = morph_strain(centre0, radius0, centre, radius, outer)
    if strain >= 1:
        raise MeshError(
            f"hole at {centre0} of radius {radius0:g} can't become one at {centre} of radius "
            f"{radius:g}: the map folds (strain {strain:.3g}, has to be below 1); move it less"
        )
    away = points - np.asarray(centre0)
    distance = np.hypot(away[:, 0], away[:, 1])
    t = np.clip((distance - radius0) / (outer - radius0), 0.0, 1.0)
    weight = (1 - t) ** 2 * (1 + 2 * t)
    direction = away / np.maximum(distance, np.finfo(float).tiny)[:, None]
    full = np.subtract(centre, centre0) + (radius - radius0) * direction
    return weight[:, None] * full
