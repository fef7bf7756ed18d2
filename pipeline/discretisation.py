"""A family's problem on one communicator, in canonical coefficients."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.march import March, Outcome, march
from pipeline.problem import expressions, input_fields, laws, output_fields, parameters
from pipeline.spec import Spec

__all__ = ["Discretisation", "make_problem"]

Array = NDArray[np.float64]
Columns = dict[str, Array]
_NODAL = ("P", "DG")


def make_problem(spec: Spec, mesh: Any, facets: Any) -> Any:
    """Return the `meshes.Problem` of a spec on a mesh. Collective.

    Raises:
        ValueError: A space doesn't exist on the cells, or a boundary part in the mesh.
    """
    import meshes

    names = {f.name: meshes.SpaceName(*f.space) for f in input_fields(spec)}
    made = {name: meshes.make_space(mesh, name) for name in dict.fromkeys(names.values())}
    data = meshes.Data(
        fields={f: made[name] for f, name in names.items()},
        parameters={p.name: p.shape for p in parameters(spec)},
        expressions=expressions(spec),
    )
    outputs = {f.name: meshes.SpaceName(*f.space) for f in output_fields(spec)}
    return meshes.Problem(spec.problem, mesh, facets, outputs, data)


class Discretisation:
    """Mesh, spaces and problem made from `spaces.h5`, and nothing else.

    Attributes:
        problem: The `meshes.Problem`.
    """

    def __init__(self, spec: Spec, spaces: Any, comm: Any) -> None:
        """Build mesh, spaces and problem on a communicator. Collective.

        Args:
            spec: The spec.
            spaces: The tree of `spaces.h5`, on every rank.
            comm: The communicator that shares one system.
        """
        import meshes

        mesh = meshes.mesh_from_tree(comm, spaces["mesh"])
        self._spec = spec
        self.problem = make_problem(spec, mesh, meshes.facet_tags_from_tree(mesh, spaces["mesh"]))
        tables, fields = spaces["spaces"], spaces["fields"]
        self._inputs = {
            f.name: meshes.CanonicalMap(
                self.problem.space_of(f.name), tables[fields[f.name]["space"]]
            )
            for f in input_fields(spec)
        }
        self._outputs = {
            name: meshes.CanonicalMap(V, tables[fields[name]["space"]])
            for name, (V, _) in self.problem.parts.items()
        }
        self._fixed = {name: fields[name] for name in self._outputs if "values" in fields[name]}
        self._parameters = {p.name for p in parameters(spec)}
        self._random = laws(spec)
        self._mesh = {k: spaces["mesh"][k] for k in ("points", "cells", "cell_type")}
        if spec.mesh.moves:
            self._nodes = np.asarray(tables[fields["displacement"]["space"]]["dofmap"])
        self._times = spec.problem.times()
        self._in_steps = bool(self._times) or not self.problem.linear
        self._keys = {name: fields[name]["space"] for name in self._outputs}
        self._hierarchy = spaces.get("hierarchy", {})

    def set(self, columns: Columns) -> None:
        """Set the data of one sample from its columns, {"inputs/a": (dofs,), …}. Collective."""
        values = {}
        for column, value in columns.items():
            kind, _, name = column.partition("/")
            if kind == "inputs":
                values[name] = self._inputs[name].from_canonical(value)
            elif name in self._parameters:
                values[name] = value
        self.problem.set(values)

    def assemble(self, columns: Columns) -> tuple[Any, Any]:
        """Return A and b of a linear problem for the columns of one sample. Collective."""
        self.set(columns)
        return self.problem.assemble()  # type: ignore[no-any-return]

    def march(self, i: int, columns: Columns) -> March:
        """Return the coroutine of the systems of one sample. Collective.

        A sample whose inputs can't be solved for is refused: its outcome says why.
        """
        if (why := self.refusal(columns)) is not None:
            return _refused(i, why)
        self.set(columns)
        return march(self.problem, i, self._spec.rtol, self._spec.dtype, self._times)

    def state(self) -> Any:
        """Return what is lost when another sample takes its turn. Not collective."""
        return self.problem.state() if self._in_steps else None

    def resume(self, columns: Columns, state: Any) -> None:
        """Go on with a sample: its data, and what `state` returned. Collective."""
        if self._in_steps:
            self.set(columns)
            self.problem.restore(state)
        elif self.problem.dirichlet.varies:
            self.set(columns)

    def prolongations(self) -> list[Any]:
        """Return CSR matrices from each level's dofs to the next finer one's, the finest first.

        [] where there is no hierarchy, several outputs, several ranks, or dofs that are no point
        values. Rows of the first are in the problem's numbering. Serial.
        """
        outputs = output_fields(self._spec)
        if len(outputs) > 1 or self.problem.comm.size > 1 or outputs[0].space[0] not in _NODAL:
            return []
        key, there = self._keys[outputs[0].name], self._outputs[outputs[0].name]
        levels = sorted(self._hierarchy, key=int, reverse=True)
        found = [self._hierarchy[level]["prolongations"][key]["matrix"] for level in levels]
        if found:
            rows = there.from_canonical(np.arange(found[0].shape[0], dtype=np.float64))
            found[0] = found[0][np.rint(rows).astype(np.int64)]
        return found

    def refusal(self, columns: Columns) -> str | None:
        """Return why the inputs of a sample can't be solved for; None if they can. Serial."""
        for column, values in columns.items():
            if not np.isfinite(values).all():
                return f"{column} is not finite: look at its law"
        for symbol, quantity in self._random.items():
            for column in (f"inputs/{symbol}", f"parameters/{symbol}"):
                if column in columns and not quantity.admits(columns[column]):
                    low, high = np.min(columns[column]), np.max(columns[column])
                    return (
                        f"{column} is from {low:.3g} to {high:.3g}, it has to be "
                        f"{quantity.demand}: take another law, or clip it"
                    )
        return self._folded(columns.get("inputs/displacement"))

    def _folded(self, displacement: Array | None) -> str | None:
        """Where a moved mesh has an inverted cell."""
        if displacement is None:
            return None
        import meshes

        points, cells = self._mesh["points"], np.asarray(self._mesh["cells"])
        moved = np.array(points)
        moved[cells.ravel()] += displacement.reshape(points.shape)[self._nodes.ravel()]
        try:
            meshes.check_quality(moved, cells, str(self._mesh["cell_type"]), points)
        except meshes.MeshError as error:
            return f"the mesh folds: {error}"
        return None

    def columns(self, outcome: Outcome) -> Columns:
        """Return the output columns of an outcome on rank 0, {} elsewhere. Collective."""
        found: dict[str, list[Array]] = {}
        for k, state in enumerate(outcome.states):
            if self._times:
                self.problem.set_time(self._times[k], float(self.problem.q.dt.value))
            self.problem.accept(state)
            for name, values in self._canonical().items():
                found.setdefault(f"outputs/{name}", []).append(values)
        if self._times:
            return {name: np.stack(values) for name, values in found.items()}
        return {name: values for name, (values,) in found.items()}

    def _canonical(self) -> Columns:
        """The parts of the present solution in canonical order, on rank 0. Collective.

        Constrained dofs with common values get exactly those of `spaces.h5`, to the last bit.
        """
        gathered = {}
        for name, (_, dofs) in self.problem.parts.items():
            values = self._outputs[name].to_canonical(self.problem.w.x.array[dofs])
            if values is None:
                continue
            if (fixed := self._fixed.get(name)) is not None:
                values[np.asarray(fixed["constrained"])] = fixed["values"]
            gathered[name] = values
        return gathered

    def load(self, outputs: Columns) -> float:
        """Set the solution from canonical coefficients. Not collective.

        Returns:
            The largest deviation from the Dirichlet data, relative to their largest value.
        """
        problem = self.problem
        for name, (_, dofs) in problem.parts.items():
            problem.w.x.array[dofs] = self._outputs[name].from_canonical(outputs[name])
        stored = problem.w.x.array.copy()
        problem.dirichlet.apply(problem.w)
        scale = max(1.0, float(np.abs(problem.w.x.array).max(initial=0.0)))
        return float(np.abs(problem.w.x.array - stored).max(initial=0.0)) / scale

    def residuals(self, columns: Columns, outputs: Columns) -> list[float]:
        """Return ρ of stored outputs by a fresh assembly, for each time step. Serial.

        Where a stored solution lacks its Dirichlet data, ρ is infinite.
        """
        from solvers import true_residual

        problem, found = self.problem, []
        self.set(columns)
        if self._times:
            problem.start()
        steps = np.diff([0.0, *self._times]) if self._times else [1.0]
        rounding = 64 * np.finfo(self._spec.dtype).eps
        for k, (dt, time) in enumerate(zip(steps, self._times or [0.0], strict=True)):
            problem.set_time(float(time), float(dt))
            deviation = self.load({n: v[k] if self._times else v for n, v in outputs.items()})
            if problem.linear:
                A, b = problem.assemble(by_forms=True)
                rho = true_residual(A, b, problem.w.x.array[: problem.free.size], problem.free)
            else:
                rho = problem.residual()
                stored = problem.w.x.array.copy()
                problem.lift()
                rho /= problem.residual() or 1.0
                problem.w.x.array[:] = stored
            found.append(rho if deviation <= rounding else np.inf)
            if self._times:
                problem.remember()
        return found


def _refused(i: int, why: str) -> March:
    """The march of a sample without a system."""
    outcome = Outcome(i)
    outcome.fail(why, float("nan"), code=-101)
    return outcome
    yield  # makes it a coroutine
