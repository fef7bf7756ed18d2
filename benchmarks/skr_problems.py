"""The sequences of systems of the SKR paper: as its released code makes them, and as it says.

Wang et al., ICLR 2024 (arXiv 2401.09516); its code is NO-DataGen-SKR. Sets:

- `darcy-released`, `helmholtz-released`: the matrices of the released code, which are neither
  Darcy's nor Helmholtz' operator (see `skr_stencils.released`).
- `darcy`, `helmholtz`: the operators that the paper names, by five-point differences.
- `thermal`, `poisson`: finite elements on the project's own meshes; one matrix, many right-hand
  sides, as in the released code.

The modules that start MPI are imported where they are needed, so that a parent can read `SETS`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from benchmarks.skr_stencils import STD, divergence_form, random_field, released

__all__ = [
    "BLOCKS",
    "PARTNERS",
    "SETS",
    "FamilySequence",
    "GridSequence",
    "Sequence",
    "make_sequence",
]

Array = NDArray[np.float64]
EXAMPLES = Path(__file__).parents[1] / "examples"

WAVE_NUMBER = 20.0  # the true Helmholtz set: 20 ± 3 at three standard deviations
WAVE_SPREAD = 1.0

ANGLES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, np.pi / 2)
"""Between Gaussian fields: cos is their correlation; the last one's are independent."""
PARTNERS = len(ANGLES)

GRIDS = ("darcy-released", "helmholtz-released", "darcy", "helmholtz")
FAMILIES = ("thermal", "poisson")
SETS = GRIDS + FAMILIES

BLOCKS = {"darcy": 72, "helmholtz": 72, "thermal": 1, "poisson": 5}
"""MPI ranks in the released scripts, so blocks of bjacobi and asm; by the first word of a set."""


class Sequence(Protocol):
    """Systems that belong together.

    Attributes:
        n: Unknowns.
        features: (systems, d), what is sorted by: the parameter fields themselves.
    """

    n: int
    features: Array

    def system(self, i: int) -> tuple[Any, Any]:
        """Matrix and right-hand side of system i. Collective; `release` them."""

    def release(self, system: tuple[Any, Any]) -> None:
        """Destroy what `system` made. Collective."""

    def partner(self, i: int, k: int) -> tuple[tuple[Any, Any], float]:
        """The k-th of PARTNERS systems to be compared with i; root mean square distance to it."""


def make_sequence(name: str, n: int, count: int, seed: int, comm: Any) -> Sequence:
    """Return `count` systems of a set with about n unknowns. Collective.

    Raises:
        ValueError: Unknown set.
    """
    if name in GRIDS:
        return GridSequence(name, n, count, seed, comm)
    if name in FAMILIES:
        return FamilySequence(name, n, count, seed, comm)
    raise ValueError(f"set {name!r}: expected one of {', '.join(SETS)}")


@dataclass
class GridSequence:
    """One of the sets on a grid of m² interior points; f = 1, rows scaled by h² as released."""

    name: str
    n: int
    count: int
    seed: int
    comm: Any

    def __post_init__(self) -> None:
        """Draw the fields."""
        self.m = max(3, round(np.sqrt(self.n)))
        self.n = self.m**2
        self.features = np.array([self._field(self._noise(i)).ravel() for i in range(self.count)])

    def system(self, i: int) -> tuple[Any, Any]:
        """See `Sequence`."""
        size = self.m + 2
        return self._system(self.features[i].reshape(size, size), self._scalar(i))

    def release(self, system: tuple[Any, Any]) -> None:
        """See `Sequence`."""
        for each in system:
            each.destroy()

    def partner(self, i: int, k: int) -> tuple[tuple[Any, Any], float]:
        """See `Sequence`; a field of the same law, correlated with that of i by cos(angle)."""
        angle = ANGLES[k]
        noise = np.cos(angle) * self._noise(i) + np.sin(angle) * self._noise(self.count + i)
        field = self._field(noise)
        distance = np.linalg.norm(field.ravel() - self.features[i]) / np.sqrt(field.size)
        return self._system(field, self._scalar(i)), float(distance)

    def matrix(self, field: Array, scalar: float = 0.0) -> sp.csr_matrix:
        """The matrix of a parameter field with its border, (m + 2, m + 2)."""
        if self.name == "darcy-released":
            return released(field)
        if self.name == "helmholtz-released":
            return released(field, (scalar / (self.m - 1)) ** 2)
        if self.name == "darcy":
            return divergence_form(field)
        h = 1.0 / (self.m + 1)
        square = sp.diags_array((h * field[1:-1, 1:-1].ravel()) ** 2)
        return sp.csr_matrix(divergence_form(np.ones_like(field)) - square)

    def _noise(self, i: int) -> NDArray[np.complex128]:
        rng = np.random.default_rng([self.seed, i])
        parts = rng.standard_normal((2, self.m + 2, self.m + 2)) / np.sqrt(2.0)
        return np.asarray(parts[0] + 1j * parts[1])

    def _scalar(self, i: int) -> float:
        """The released Helmholtz code's k of system i."""
        return float(np.random.default_rng([self.seed, i, 1]).uniform())

    def _field(self, noise: NDArray[np.complex128]) -> Array:
        field = random_field(noise)
        if self.name == "helmholtz":
            return WAVE_NUMBER + WAVE_SPREAD * field / STD
        return np.exp(field)

    def _system(self, field: Array, scalar: float) -> tuple[Any, Any]:
        from petsc4py import PETSc

        import solvers  # noqa: F401 - starts MPI in the right order

        start, end = (self.n * (self.comm.rank + d) // self.comm.size for d in (0, 1))
        local = sp.csr_matrix(self.matrix(field, scalar))[start:end]
        csr = local.indptr.astype(np.int32), local.indices.astype(np.int32), local.data
        sizes = (end - start, self.n)
        A = PETSc.Mat().createAIJ((sizes, sizes), csr=csr, comm=self.comm)
        A.assemble()
        b = A.createVecLeft()
        b.set(self._spacing() ** 2)
        return A, b

    def _spacing(self) -> float:
        return 1.0 / (self.m - 1 if self.name.endswith("released") else self.m + 1)


class FamilySequence:
    """Right-hand sides of one of the project's families, P2; the matrix is one for all.

    Constrained unknowns are eliminated, as by MATLAB's solver, which the paper used.
    """

    def __init__(self, name: str, n: int, count: int, seed: int, comm: Any) -> None:
        """Assemble all right-hand sides. Collective."""
        from pipeline.stages.solve import world

        world()
        from pipeline.discretisation import Discretisation
        from pipeline.sampler import Sampler
        from pipeline.spaces import spaces_tree
        from pipeline.spec import load_spec

        resolution = max(2, round(RESOLUTION[name] * np.sqrt(n)))
        changes = [f"mesh.resolution={resolution}", f"samples={count}", f"seed={seed}"]
        changes.append("problem.output_space={family: P, degree: 2}")
        spec = load_spec(EXAMPLES / f"{name}.yaml", changes)
        tree = spaces_tree(spec)
        sampler, there = Sampler(spec, tree), Discretisation(spec, tree, comm)
        self.name, self.count = name, count
        self.features = np.array([sampler.features(i, 32) for i in range(count)])
        self._b = []
        for i in range(count):
            A, b = there.assemble(sampler.inputs(i))
            free = self._free(b, there.problem.free)
            part = b.getSubVector(free)
            self._b.append(part.copy())
            b.restoreSubVector(free, part)
        self._A = A.createSubMatrix(free, free)
        self.n = self._A.getSize()[0]

    def system(self, i: int) -> tuple[Any, Any]:
        """See `Sequence`; the matrix is always the same object in the same state."""
        return self._A, self._b[i]

    def release(self, system: tuple[Any, Any]) -> None:
        """See `Sequence`; nothing was made."""

    def partner(self, i: int, k: int) -> tuple[tuple[Any, Any], float]:
        """See `Sequence`; the (k + 1)-th sample after i."""
        j = (i + 1 + k) % self.count
        distance = np.linalg.norm(self.features[j] - self.features[i])
        return self.system(j), float(distance / np.sqrt(self.features.shape[1]))

    @staticmethod
    def _free(b: Any, free: NDArray[np.bool_] | None) -> Any:
        from petsc4py import PETSc

        start, end = b.getOwnershipRange()
        owned = np.ones(end - start, dtype=bool) if free is None else free
        chosen = (start + np.flatnonzero(owned)).astype(np.int32)
        return PETSc.IS().createGeneral(chosen, comm=b.comm)


RESOLUTION = {"thermal": 0.5, "poisson": 0.5}
"""Cells along a side over √n: P2 has nearly two unknowns a cell and direction."""
