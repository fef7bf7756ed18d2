"""The problems, the operators on each, and what is hoped for.

About 0.25 million parameters each. Seeds of the data sets are not those that settings were chosen
on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["CASES", "Case", "Goal"]

type Config = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """A claim: the error of `of` times `factor` is at most that of each of `than`, in each norm.

    Attributes:
        of: label of an operator.
        than: labels, or a number, an error.
        factor: 1 for "better than", 2 for "twice as good", 1 / 1.2 for "within 1.2×".
        norms: keys of a result.
    """

    of: str
    than: tuple[str, ...] | float
    factor: float = 1.0
    norms: tuple[str, ...] = ("l2", "graph")


@dataclass(frozen=True)
class Case:
    """A data set, made by `rekrylov run`, and who competes on it."""

    name: str
    spec: dict[str, Any]
    train: int
    operators: dict[str, Config]
    goals: tuple[Goal, ...] = ()
    settings: Config = field(default_factory=dict)


def spon(levels: int, **more: Any) -> Config:
    """SPON-MG's config."""
    processor = {"kind": "multigrid", "levels": levels}
    return {"kind": "spon", "processor": processor, **more}


MGNO = {"kind": "mgno", "width": 16}
FNO = {"kind": "fno", "width": 20, "modes": 12}
GNN = {"kind": "meshgraphnet"}
SQUARE = {"domain": "unit_square", "resolution": 8, "levels": 4}
COSINE = {"kind": "cosine", "alpha": 2.0, "tau": 3.0}
ON_SQUARE = {"spon-mg": spon(3), "mgno": MGNO, "fno": FNO}
BOTH = (
    Goal("spon-mg", ("fno", "pod_ridge")),
    Goal("mgno", ("fno", "pod_ridge")),
    Goal("spon-mg", ("mgno", "fno", "pod_ridge"), 1 / 1.2),
    Goal("spon-mg", 1e-14, norms=("boundary/u",)),
)
TWICE = (Goal("spon-mg", ("fno", "meshgraphnet"), 2.0),)


def _darcy(name: str, seed: int, coefficient: Config) -> Case:
    problem = {"family": "darcy", "coefficient": coefficient, "source": 1.0}
    spec = {"name": name, "seed": seed, "samples": 1500, "problem": problem, "mesh": SQUARE}
    return Case(name, spec, 1000, ON_SQUARE, BOTH)


CASES = [
    Case(
        "poisson-rough",
        {
            "name": "poisson-rough",
            "seed": 7101,
            "samples": 1500,
            "problem": {
                "family": "poisson",
                "source": {"law": "gaussian", "field": {**COSINE, "alpha": 1.5}},
            },
            "mesh": SQUARE,
        },
        1000,
        ON_SQUARE,
        (Goal("spon-mg", 0.01, norms=("l2",)), Goal("spon-mg", ("fno",), norms=("l2",))),
    ),
    _darcy("darcy-lognormal", 7102, {"law": "lognormal", "field": COSINE}),
    _darcy("darcy-two-phase", 7103, {"law": "two_phase", "high": 12, "low": 3}),
    Case(
        "perforated",
        {
            "name": "perforated",
            "seed": 7104,
            "samples": 1500,
            "problem": {
                "family": "darcy",
                "coefficient": {"law": "lognormal", "field": {"kind": "matern", "length": 0.3}},
                "source": 1.0,
            },
            "mesh": {"domain": "perforated_plate", "size": 0.1, "levels": 3},
        },
        1000,
        {"spon-mg": spon(3), "fno": FNO, "meshgraphnet": GNN},
        TWICE,
    ),
    Case(
        "cylinder",
        {
            "name": "cylinder",
            "seed": 7105,
            "samples": 1000,
            "problem": {
                "family": "navier_stokes",
                "viscosity": {"law": "log_uniform", "low": 5.0e-4, "high": 2.0e-3},
                "inflow": {
                    "law": "chebyshev",
                    "over": "y",
                    "degree": 4,
                    "mean": 0.3,
                    "amplitude": 0.05,
                },
            },
            "mesh": {"domain": "channel_cylinder", "size": 0.12, "levels": 2},
        },
        700,
        {"spon-mg": spon(2), "fno": FNO, "meshgraphnet": GNN},
        TWICE,
    ),
    Case(
        "darcy-mixed",
        {
            "name": "darcy-mixed",
            "seed": 7106,
            "samples": 1000,
            "problem": {
                "family": "darcy_mixed",
                "coefficient": {"law": "lognormal", "field": COSINE},
                "source": 0.0,
                "boundary": "1 - x",
                "walls": ["bottom", "top"],
                "flux_space": {"family": "RT", "degree": 1},
            },
            "mesh": {"domain": "unit_square", "resolution": 8, "levels": 3},
        },
        700,
        {
            "spon-mg, conserving": spon(3, conserve=["sigma"]),
            "spon-mg": spon(3),
            "fno": FNO,
            "unet": {"kind": "unet", "width": 8, "widest": 64},
        },
        (
            Goal("spon-mg, conserving", 1e-12, norms=("div/sigma",)),
            Goal("spon-mg, conserving", 1e-14, norms=("boundary/sigma",)),
            Goal("spon-mg, conserving", ("spon-mg", "fno", "unet")),
        ),
    ),
    Case(
        "flux-with-holes",
        {
            "name": "flux-with-holes",
            "seed": 7107,
            "samples": 600,
            "problem": {
                "family": "darcy_mixed",
                "coefficient": {"law": "lognormal", "field": {"kind": "matern", "length": 0.3}},
                "source": {"law": "gaussian", "field": {"kind": "matern", "length": 0.3}},
                "boundary": "x",
                "flux_space": {"family": "RT", "degree": 1},
            },
            "mesh": {"domain": "perforated_plate", "size": 0.1, "levels": 2},
        },
        400,
        {"spon-mg, conserving": spon(2, conserve=["sigma"]), "spon-mg": spon(2), "fno": FNO},
        (Goal("spon-mg, conserving", 1e-12, norms=("div/sigma",)),),
    ),
]
