"""Element tensors that are affine in data p, taken apart: E(p) = E(0) + Σ_k p_k E_k."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from dolfinx.fem import Function
from numpy.typing import NDArray

from meshes.element_tensors import ElementTensors

__all__ = ["AffineTensors", "Part", "values_of"]

Array = NDArray[np.float64]
_ROUNDING = 1e-14


@dataclass(frozen=True)
class Part:
    """What a function or constant adds to the element tensors.

    Attributes:
        terminal: The function or constant.
        tensors: (K, …) one for each coefficient in a cell, or component of a constant.
        weights: (K,) where the tensors are w_k E with one E, which `tensors` then holds alone, as
            for P1 or DG0 coefficients under constant gradients; else None.
    """

    terminal: Any
    tensors: Array
    weights: Array | None = None


class AffineTensors:
    """E(0) and the E_k of a form.

    Attributes:
        constant: E(0).
        parts: What the functions and constants add.
    """

    def __init__(self, tensors: ElementTensors, varying: list[Any]) -> None:
        """Assemble once for each of the K, at about the size of the present data. Serial.

        Args:
            tensors: The form's.
            varying: Functions and constants that the form may depend on and is affine in.
        """
        used = {id(t) for t in (*tensors.functions, *tensors.constants)}
        present = [t for t in varying if id(t) in used]
        for terminal in present:
            tensors.fill(terminal, 0.0)
        self.constant = tensors.assemble()
        self.parts = [self._part(tensors, terminal) for terminal in present]

    def _part(self, tensors: ElementTensors, terminal: Any) -> Part:
        scale = _magnitude(values_of(terminal))
        found = []
        for _ in tensors.units(terminal, scale):
            E = tensors.assemble()
            E -= self.constant
            E /= scale
            found.append(E)
        if isinstance(terminal, Function) and (one := _one_tensor(found)) is not None:
            return Part(terminal, one[0][None], one[1])
        return Part(terminal, np.array(found))


def values_of(terminal: Any) -> Array:
    """Return the coefficients of a function, or the components of a constant, flat."""
    return terminal.x.array if isinstance(terminal, Function) else np.ravel(terminal.value)


def _magnitude(values: Array) -> float:
    """A power of two near the largest value: dividing by it is exact.

    E(s) − E(0) is then as exact, beside E(0), as the system of the present data.
    """
    largest = float(np.abs(values).max(initial=0.0))
    usable = np.isfinite(largest) and largest > 0
    return float(2.0 ** np.round(np.log2(largest))) if usable else 1.0


def _one_tensor(found: list[Array]) -> tuple[Array, Array] | None:
    """E and weights w with E_k = w_k E in all cells; None if there are none."""
    norms = [float(np.vdot(E, E)) for E in found]
    E = found[int(np.argmax(norms))]
    if (norm := max(norms)) == 0.0:
        return None
    weights = np.array([np.vdot(other, E) for other in found]) / norm
    axes = tuple(range(1, E.ndim))
    bound = _ROUNDING * np.maximum(E.max(axis=axes, keepdims=True), -E.min(axes, keepdims=True))
    for other, w in zip(found, weights, strict=True):
        if other is not E and np.any(np.abs(other - w * E) > bound):
            return None
    return E, weights
