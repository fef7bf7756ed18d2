"""Convergence orders of every family in every space it offers, on manufactured solutions.

`python -m benchmarks.convergence [--families darcy stokes] [--long]`

Orders are fitted over meshes of the unit interval, square or cube, each half as wide as the one
before, on errors in L² and in the derivative of the space (gradient, divergence or curl), and
held against theory from both sides.
"""

import itertools
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import parser, report

EXAMPLES = Path(__file__).parents[1] / "examples"
WITHIN = 0.15
CELLS = {  # dimension, cell → cells a side, short and long
    (2, "triangle"): ((8, 16, 32), (12, 24, 48, 96)),
    (2, "quadrilateral"): ((8, 16, 32), (12, 24, 48, 96)),
    (3, "tetrahedron"): ((2, 4, 8), (4, 6, 9)),
}
OTHER_SIZES = {
    "reaction_diffusion P3 triangle": (6, 12, 24, 48),  # 1e-10, the residual, is reached beyond
}


@dataclass(frozen=True)
class Case:
    """A family in its spaces on cells of a kind."""

    family: Any
    spaces: dict[str, str]
    dim: int
    cell: str

    @property
    def name(self) -> str:
        """What tells it from others."""
        return " ".join([self.family.family, *self.spaces.values(), self.cell])


def cases(wanted: list[str] | None = None, thorough: bool = False) -> Iterator[Case]:
    """Yield the families of the package in all spaces they offer; 3-D if thorough."""
    from pipeline.families import FAMILIES
    from pipeline.spec import load_spec
    from pipeline.spec_errors import tag_of

    for family in FAMILIES:
        tag = str(tag_of(family))
        if wanted is not None and tag not in wanted:
            continue
        problem = load_spec(EXAMPLES / f"{tag.replace('_', '-')}.yaml").problem
        if "viscosity" in family.model_fields:  # at 1e-3 errors of p, over μ, hide the order of u
            problem = problem.model_copy(update={"viscosity": 1.0})
        if "clamped" in family.model_fields:  # free sides delay the asymptotic range
            free = {key: () for key in ("loaded", "pressed") if key in family.model_fields}
            problem = problem.model_copy(update={"clamped": ("boundary",), **free})
        for chosen in _choices(family):
            for dim, cell in CELLS:
                if dim in family.DIMENSIONS and _exists(chosen, cell) and (thorough or dim == 2):
                    yield Case(_with(problem, chosen), chosen, dim, cell)


def _choices(family: Any) -> Iterator[dict[str, str]]:
    """Yield what a family offers: a space for each key, or a pair by its name (`element`)."""
    offers = dict(family.SPACES)
    if "element" in family.model_fields:
        offers["element"] = typing.get_args(family.model_fields["element"].annotation)
    for chosen in itertools.product(*offers.values()):
        yield dict(zip(offers, chosen, strict=True))


def _exists(spaces: dict[str, str], cell: str) -> bool:
    """Whether the spaces are there on the cells; on squares P1 and P2 are compared only."""
    return cell != "quadrilateral" or all(name in ("P1", "P2") for name in spaces.values())


def _with(problem: Any, spaces: dict[str, str]) -> Any:
    from pipeline.models import SpaceSpec

    chosen = {
        key: name if key == "element" else SpaceSpec(family=name[:-1], degree=int(name[-1]))
        for key, name in spaces.items()
    }
    return problem.model_copy(update=chosen)


def square(n: int, dim: int, cell: str) -> tuple[Any, dict[str, Any]]:
    """Return a mesh of the unit box and its sides under all the names that families use."""
    import dolfinx.mesh as dm
    from mpi4py import MPI

    kind = getattr(dm.CellType, cell)
    make = dm.create_unit_square if dim == 2 else dm.create_unit_cube
    mesh = make(MPI.COMM_SELF, *[n] * dim, kind)
    facet = dim - 1
    mesh.topology.create_connectivity(facet, dim)
    at = {
        name: dm.locate_entities_boundary(
            mesh, facet, lambda x, axis=axis, value=value: np.isclose(x[axis], value)
        )
        for axis, pair in enumerate([("left", "right"), ("bottom", "top"), ("back", "front")][:dim])
        for name, value in zip(pair, (0.0, 1.0), strict=True)
    }
    at["boundary"] = dm.exterior_facet_indices(mesh.topology)
    at |= {"inlet": at["left"], "outlet": at["right"]}
    at["walls"] = np.setdiff1d(at["boundary"], np.union1d(at["left"], at["right"]))
    none = np.empty(0, dtype=np.int32)
    return mesh, at | {"cylinder": none, "slot": none, "hole": none}


def theory(case: Case, space: Any) -> tuple[float, float]:
    """Return the orders of the errors in L² and in the derivative.

    MINI's pressure gains half an order over theory's 1 on regular meshes such as these
    (H. Eichel, L. Tobiska, H. Xie, Math. Comp. 80 (2011) 697).
    """
    k = space.degree
    if case.spaces.get("element") == "mini" and space.shape == ():
        return 1.5, 0.5
    if space.family in ("RT", "N1curl"):
        return k, k
    if space.family == "BDM":
        return k + 1, k
    return k + 1, k  # P, CR, MINI, DG: of a DG field only the first is looked at


def run(case: Case, thorough: bool = False) -> list[dict[str, Any]]:
    """Return a row for each output."""
    from pipeline.manufactured import manufactured_errors

    sizes = OTHER_SIZES.get(case.name, CELLS[case.dim, case.cell][thorough])
    found = [manufactured_errors(case.family, *square(n, case.dim, case.cell)) for n in sizes]
    rows = []
    for i, output in enumerate(case.family.outputs(case.dim)):
        l2, d = theory(case, output.space)
        rates = [
            _slope(sizes, [getattr(e[i], name) for e in found]) for name in ("l2", "derivative")
        ]
        discontinuous = output.space.family == "DG"
        rows.append(
            {
                "family": case.family.family,
                "spaces": ", ".join(case.spaces.values()) or "–",
                "cells": case.cell,
                "output": output.symbol,
                "L² error": found[-1][i].l2,
                "L² order": rates[0],
                "theory": l2,
                "derivative order": float("nan") if discontinuous else rates[1],
                "its theory": float("nan") if discontinuous else d,
                "within": all(
                    abs(rate - order) <= WITHIN
                    for rate, order in [(rates[0], l2)] + [(rates[1], d)] * (not discontinuous)
                ),
            }
        )
    return rows


def _slope(sizes: tuple[int, ...], errors: list[float]) -> float:
    """The fitted order on the last three meshes."""
    return float(-np.polyfit(np.log(sizes[-3:]), np.log(errors[-3:]), 1)[0])


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--families", nargs="+")
    arguments.add_argument("--long", action="store_true", help="finer meshes, and 3-D")
    asked = arguments.parse_args()
    from pipeline.stages.solve import world

    world()
    rows = [row for case in cases(asked.families, asked.long) for row in run(case, asked.long)]
    report("convergence", rows, asked.results, note="manufactured solutions")


if __name__ == "__main__":
    main()
