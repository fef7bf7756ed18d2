"""The cases of `benchmarks.peers`, as data: what is solved, how large, and what is asked of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CASES", "EXAMPLES", "Case", "QUICK"]

EXAMPLES = Path(__file__).parents[1] / "examples"
NEVER_SLOWER = 0.95
P1 = "problem.output_space={family: P, degree: 1}"
WAVES = "problem.wave_number={law: uniform, low: 17, high: 23}"


@dataclass(frozen=True)
class Case:
    """One sequence of systems.

    Attributes:
        name: What it is called.
        example: A spec of `examples/`, without its ending.
        changes: Overrides, `key=value`.
        samples: Samples that are solved; at least 32, as the first 16 are the pilot's, and 48 for
            whole samples.
        goal: Fastest peer's time over ours, at least.
        whole: The same of whole samples; None: they are not compared.
        without: Peers that are left out, and why is in the note of the report.
    """

    name: str
    example: str
    changes: tuple[str, ...] = ()
    samples: int = 64
    goal: float = NEVER_SLOWER
    whole: float | None = None
    without: tuple[str, ...] = ()

    def spec(self, seed: int, samples: int | None = None, more: tuple[str, ...] = ()) -> Any:
        """Return its spec, at the residual 1e-8 that the goals speak of."""
        from pipeline.spec import load_spec

        changes = [*self.changes, f"samples={samples or self.samples}", f"seed={seed}"]
        return load_spec(EXAMPLES / f"{self.example}.yaml", [*changes, "rtol=1e-8", *more])


def _square(name: str, example: str, side: int, goal: float, *more: str, samples: int = 64) -> Case:
    changes = (f"mesh.resolution={side}", *more)
    return Case(f"{name} {side}²", example, changes, samples, goal, 3.0)


def _cube(side: int, samples: int, *without: str) -> Case:
    changes = (f"mesh.resolution={[side] * 3}", "mesh.levels=1")
    return Case(f"darcy-3d {side}³", "darcy-3d", changes, samples, 2.0, 2.0, without)


def _family(example: str, *changes: str, samples: int = 48) -> Case:
    return Case(example, example, changes, samples)


CASES = (
    *(_square("darcy", "darcy", side, 5.0) for side in (100, 128, 256)),
    *(_square("two-phase", "darcy-two-phase", side, 5.0, P1) for side in (100, 128, 256)),
    _square("thermal", "thermal", 100, 3.0, samples=320),
    _square("thermal", "thermal", 240, 3.0, samples=320),
    _square("poisson", "poisson", 100, 3.0, samples=320),
    _square("poisson", "poisson", 256, 3.0, samples=320),
    _cube(32, 48),
    _cube(48, 48, "splu", "PETSc LU", "MUMPS LU", "MUMPS LDLT"),
    _square("helmholtz", "helmholtz", 100, 1.5, P1, WAVES),
    # every family as its example has it, larger
    _family("convection-diffusion", "mesh.resolution=100"),
    _family("curl-curl", "mesh.resolution=64"),
    _family("darcy-mixed", "mesh.resolution=48"),
    _family("darcy-moving-hole", "mesh.size=0.014"),
    _family("darcy-multiscale", "mesh.resolution=100"),
    _family("darcy-rough", "mesh.resolution=48"),
    _family("elasticity", "mesh.resolution=[96, 16]"),
    _family("heat", "mesh.resolution=80", samples=32),
    _family("helmholtz", "mesh.resolution=48"),
    _family("helmholtz-absorbing", "mesh.resolution=32"),
    _family("hyperelastic", "mesh.resolution=[60, 3]", samples=32),
    _family("lid-driven-cavity", "mesh.resolution=32", samples=32),
    _family("navier-stokes", samples=32),
    _family("poisson-l-shape", "mesh.resolution=12"),
    _family("reaction-diffusion", "mesh.resolution=80", samples=32),
    _family("stokes"),
    _family("stokes-backward-step", "mesh.resolution=16"),
    _family("thermal-nonlinear", "mesh.resolution=64", samples=32),
    _family("own-family", "mesh.size=0.025"),
)

QUICK = (
    Case("darcy 20²", "darcy", ("mesh.resolution=20",), 48, 5.0, 3.0),
    Case("reaction-diffusion 8²", "reaction-diffusion", ("mesh.resolution=8",), 32),
)
"""Small ones, to see that everything runs: their figures say nothing."""
