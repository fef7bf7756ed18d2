"""What the forms of a problem depend on: functions, constants, expressions; renewed by sample."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from dolfinx import fem
from dolfinx.fem import Function, FunctionSpace
from dolfinx.mesh import Mesh
from numpy.typing import NDArray

from meshes.expressions import Pointwise, expression_on

__all__ = ["DISPLACEMENT", "Data", "SampleData"]

Array = NDArray[np.float64]

DISPLACEMENT = "displacement"
"""The field, a vector in P1, that moves the vertices of the mesh."""
_GENERIC = 0.7
"""Value of data before the first sample: not 0, which forms may divide by."""


@dataclass(frozen=True)
class Data:
    """What F depends on, by symbol.

    Attributes:
        fields: Symbol → the space of a function.
        parameters: Symbol → shape of a constant.
        expressions: Symbol → an expression in x, the same for all samples.
    """

    fields: dict[str, FunctionSpace] = field(default_factory=dict)
    parameters: dict[str, tuple[int, ...]] = field(default_factory=dict)
    expressions: dict[str, Pointwise] = field(default_factory=dict)


class SampleData:
    """The data of one sample at a time.

    Attributes:
        terminals: Symbol → the function or constant in the forms.
        symbols: What forms get: `c.<symbol>`.
    """

    def __init__(self, mesh: Mesh, data: Data) -> None:
        """Make functions and constants. Collective."""
        self.terminals: dict[str, Any] = {name: Function(V) for name, V in data.fields.items()}
        for name, function in self.terminals.items():
            function.x.array[:] = 0.0 if name == DISPLACEMENT else _GENERIC
        self.terminals |= {
            name: fem.Constant(mesh, np.full(shape, _GENERIC))
            for name, shape in data.parameters.items()
        }
        known = {name: expression_on(mesh, f) for name, f in data.expressions.items()}
        self.symbols = SimpleNamespace(**self.terminals, **known)
        self._mesh, self._reference = mesh, np.array(mesh.geometry.x)
        self._state: dict[str, Array] = {}

    @property
    def moves(self) -> bool:
        """Whether the mesh moves."""
        return DISPLACEMENT in self.terminals

    def take(self, values: dict[str, Array]) -> set[str]:
        """Take the data of a sample; returns the symbols whose values are new. Not collective.

        Args:
            values: Symbol → local coefficients (owned and ghost), or the value of a constant.
        """
        changed = {name for name, value in values.items() if self._is_new(name, value)}
        for name in changed:
            self._state[name] = np.array(values[name], dtype=float)
            terminal = self.terminals[name]
            if isinstance(terminal, Function):
                terminal.x.array[:] = values[name]
            else:
                terminal.value = values[name]
        if DISPLACEMENT in changed:
            self._move()
        return changed

    def _is_new(self, name: str, value: Array) -> bool:
        return name not in self._state or not np.array_equal(self._state[name], value)

    def _move(self) -> None:
        """Put the vertices where the displacement takes them."""
        d, geometry = self.terminals[DISPLACEMENT], self._mesh.geometry
        nodes, dofs = np.asarray(geometry.dofmaps[0]), d.function_space.dofmap.list
        moved = self._reference[:, : geometry.dim].copy()
        moved[nodes.ravel()] += d.x.array.reshape(-1, geometry.dim)[dofs.ravel()]
        geometry.x[:, : geometry.dim] = moved

    def unused(self, used: set[int]) -> list[str]:
        """Return the symbols whose functions and constants are not among the used ones."""
        return [
            name
            for name, terminal in self.terminals.items()
            if name != DISPLACEMENT and id(terminal) not in used
        ]

    def shapes(self) -> str:
        """Return the vectors among the data with their shapes, as text."""
        shapes = {name: f.ufl_shape for name, f in self.terminals.items() if f.ufl_shape}
        return ", ".join(f"{name} {shape}" for name, shape in shapes.items())
