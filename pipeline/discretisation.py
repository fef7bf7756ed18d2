"""A family's linear systems on one communicator, in canonical coefficients."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset_folder import family_of
from pipeline.spec import Spec

__all__ = ["Discretisation"]

Array = NDArray[np.float64]


class Discretisation:
    """Mesh, spaces and assembler made from `spaces.h5`, and nothing else.

    Attributes:
        problem: The assembler.
    """

    def __init__(self, spec: Spec, spaces: Any, comm: Any) -> None:
        """Build mesh and spaces on a communicator. Collective.

        Args:
            spec: The spec.
            spaces: The tree of `spaces.h5`, on every rank.
            comm: The communicator that shares one system.
        """
        import meshes

        fields = family_of(spec).fields()
        mesh = meshes.mesh_from_tree(comm, spaces["mesh"])
        names = {f.name: meshes.SpaceName(*f.space) for f in fields}
        made = {str(name): meshes.make_space(mesh, name) for name in dict.fromkeys(names.values())}
        maps = {k: meshes.CanonicalMap(V, spaces["spaces"][k]) for k, V in sorted(made.items())}
        self.problem = family_of(spec).discretise({f: made[str(n)] for f, n in names.items()})
        self._maps = {f.name: maps[str(names[f.name])] for f in fields}
        self._output = self.problem.solution()
        field = spaces["fields"][self.problem.name]
        self._constrained = np.asarray(field["constrained"])
        self._values = np.asarray(field["values"])

    def assemble(self, columns: dict[str, Array]) -> tuple[Any, Any]:
        """Return A and b for the input columns of one sample, {"inputs/a": (dofs,)}. Collective."""
        return self.problem.assemble(
            {
                name: self._maps[name.partition("/")[2]].from_canonical(values)
                for name, values in columns.items()
            }
        )

    def local(self, values: Array) -> Array:
        """Return the owned local coefficients of canonical ones. Not collective."""
        local = self._maps[self.problem.name].from_canonical(values)
        return local[: self.problem.free.size]

    def canonical(self, x: NDArray[np.floating]) -> Array | None:
        """Gather the owned local coefficients of u on rank 0, in canonical order. Collective.

        Constrained dofs get exactly their values: free dofs don't depend on what a solver left
        there, and nothing else is a sample of the space.
        """
        self._output.x.array[: len(x)] = x
        self._output.x.scatter_forward()
        values = self._maps[self.problem.name].to_canonical(self._output.x.array)
        if values is not None:
            values[self._constrained] = self._values
        return values
