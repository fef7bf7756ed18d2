"""The tree of `spaces.h5` of a spec: mesh, hierarchy, spaces, fields."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.discretisation import make_problem
from pipeline.expressions import function
from pipeline.inputs import is_field_law, is_law
from pipeline.problem import FieldInfo, input_fields, laws, output_fields
from pipeline.spec import Spec, data_key
from pipeline.spec_errors import SpecError
from pipeline.statement import statement
from pipeline.user_family import family_error, is_user_family
from storage import FORMAT

__all__ = ["spaces_tree"]

_HUGE = 1e14  # 1/x at a point that came out as 1e-18 instead of 0


def spaces_tree(spec: Spec) -> dict[str, Any]:
    """Return the tree of `spaces.h5` (docs/format.md). Serial, made once by one process.

    Raises:
        SpecError: The domain can't be meshed, a space doesn't exist on its cells, a boundary
            part is missing, or deterministic data are not finite.
    """
    import meshes

    try:
        tree = _tree(spec)
        if is_user_family(type(spec.problem)):
            statement(spec)  # or a mistake in `strong` would be seen after the last solve
        return tree
    except SpecError:
        raise
    except meshes.MeshError as error:
        raise SpecError([str(error)]) from error
    except Exception as error:
        if is_user_family(type(spec.problem)):
            raise family_error(type(spec.problem), error) from error
        if isinstance(error, ValueError):
            raise SpecError([str(error)]) from error
        raise


def _tree(spec: Spec) -> dict[str, Any]:
    from mpi4py import MPI

    import meshes

    levels = spec.mesh.mesh_levels()
    tree: dict[str, Any] = {"format": FORMAT, "data_key": data_key(spec), "mesh": levels[-1]}
    rebuilt = [meshes.mesh_from_tree(MPI.COMM_SELF, level) for level in levels]
    mesh = rebuilt[-1]
    tree["mesh"]["original_cell_index"] = np.array(mesh.topology.original_cell_index)
    fields = [*input_fields(spec), *output_fields(spec)]
    names = {str(name): name for name in map(_name, fields)}
    if _needs_p1(spec):
        names.setdefault("P1", meshes.SpaceName("P", 1))
    names |= {str(name): name for name in _companions(list(names.values()), spec.mesh.tdim)}
    made = {key: meshes.make_space(mesh, name) for key, name in names.items()}
    grid = spec.mesh.evaluation_grid(levels[-1])
    tree["spaces"] = {
        key: meshes.space_tree(V) | {"grid": meshes.grid_tree(V, *grid)} for key, V in made.items()
    }
    if _needs_p1(spec):
        for f in input_fields(spec):
            key = str(_name(f))
            tree["spaces"][key]["from_P1"] = meshes.point_values(made["P1"], made[key])
    tree["fields"] = {
        f.name: {
            "role": f.role,
            "space": str(_name(f)),
            "units": f.units,
            "description": f.description,
        }
        for f in fields
    }
    if times := spec.problem.times():
        tree["times"] = np.array(times)
    if derivatives := meshes.derivatives_tree(made):
        tree["derivatives"] = derivatives
    if len(levels) > 1:
        tree["hierarchy"] = _hierarchy(levels, rebuilt, names, made)
    _check_values(spec, levels[-1]["points"])
    problem = make_problem(spec, mesh, meshes.facet_tags_from_tree(mesh, tree["mesh"]))
    _add_constraints(problem, tree)
    _check_finite(problem, tree)
    return tree


def _hierarchy(
    levels: list[Any], rebuilt: list[Any], names: dict[str, Any], finest: dict[str, Any]
) -> dict[str, Any]:
    """Coarser meshes, their spaces, and the transfers to the next finer level; 0 is coarsest."""
    import meshes

    found: dict[str, Any] = {}
    coarser = [
        {key: meshes.make_space(mesh, name) for key, name in names.items()} for mesh in rebuilt[:-1]
    ]
    for level, (coarse, fine) in enumerate(pairwise([*coarser, finest])):
        parents = np.asarray(levels[level + 1]["parents"])
        nested = bool(levels[level + 1].get("nested", True))
        entry: dict[str, Any] = {"mesh": levels[level], "spaces": {}, "prolongations": {}}
        for key in names:
            P, exact = meshes.prolongation(coarse[key], fine[key], parents, nested=nested)
            entry["spaces"][key] = meshes.space_tree(coarse[key])
            entry["prolongations"][key] = {"matrix": P, "exact": exact}
        found[f"{level}"] = entry
    return found


def _name(field: FieldInfo) -> Any:
    import meshes

    return meshes.SpaceName(*field.space)


def _companions(names: list[Any], dim: int) -> list[Any]:
    """The spaces before and after those of fields in the de Rham complex.

    After: where ∇·σ of a flux in RT or BDM, ∇×E of a field in N1curl lie; they show what a space
    preserves. Before: the potentials ψ whose curls are all the fluxes with ∇·σ = 0 (but for those
    through holes): P_k or N1curl_k of RT_k, P_{k+1} or N1curl_{k+1} of BDM_k.
    """
    import meshes

    found = []
    for name in names:
        if name.family == "N1curl" and dim == 3:
            found.append(meshes.SpaceName("RT", name.degree))
        elif name.family in ("RT", "BDM", "N1curl") or (
            name.family == "P" and name.shape == (dim,) and dim > 1
        ):
            found.append(meshes.SpaceName("DG", name.degree - 1))
        if name.family in ("RT", "BDM") and dim > 1:
            degree = name.degree + (name.family == "BDM")
            found.append(meshes.SpaceName("P" if dim == 2 else "N1curl", degree))
    return found


def _needs_p1(spec: Spec) -> bool:
    """Whether a law draws its Gaussian field in the P1 space of the mesh."""
    random = (q.value for q in laws(spec).values() if is_field_law(q.value))
    return any(getattr(getattr(law, "field", None), "kind", "") == "matern" for law in random)


def _add_constraints(problem: Any, tree: dict[str, Any]) -> None:
    """Constrained dofs in canonical numbering, and their values where all samples share them."""
    import meshes

    problem.lift()
    marks = problem.w.copy()
    marks.x.array[:] = 0.0
    # any combination of marked dofs is marked: no two of these numbers cancel
    marks.x.array[: problem.free.size][~problem.free] = _generic(int((~problem.free).sum()))
    values_known = not problem.dirichlet.varies
    offset, blocks = 0, {}
    for name, (V, dofs) in problem.parts.items():
        field = tree["fields"][name]
        table = tree["spaces"][field["space"]]
        to_canonical: Any = meshes.CanonicalMap(V, table).to_canonical
        constrained = np.flatnonzero(np.abs(to_canonical(marks.x.array[dofs])) > 1e-9)
        field["constrained"] = constrained.astype(np.int32)
        if values_known:
            field["values"] = to_canonical(problem.w.x.array[dofs])[constrained]
        blocks[name] = np.arange(offset, offset + table["dim"], dtype=np.int32)
        offset += int(table["dim"])
    if len(blocks) > 1:
        tree["blocks"] = {"w": blocks}


def _generic(count: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).uniform(1.0, 2.0, count)


def _check_values(spec: Spec, points: NDArray[np.float64]) -> None:
    """Refuse numbers and expressions outside of what a family asks of a quantity."""
    for q in spec.problem.quantities():
        if is_law(q.value):
            continue
        with np.errstate(all="ignore"):
            values = function(str(q.value))(points.T, np)
        if np.isfinite(q.within).any() and not q.admits(values):
            raise SpecError(
                [f"problem: {q.meaning} {q.symbol} = {q.value} has to be {q.demand} everywhere"]
            )


def _check_finite(problem: Any, tree: dict[str, Any]) -> None:
    """Refuse boundary values and sources that are not finite on the mesh."""
    for name in problem.parts:
        field = tree["fields"][name]
        values = np.asarray(field.get("values", np.zeros(0)))
        bad = np.asarray(field["constrained"])[: len(values)][~(np.abs(values) < _HUGE)]
        if bad.size:
            table = tree["spaces"][field["space"]]
            node = bad[0] // table["block_size"]
            point = table["points"][node] if "points" in table else f"dof {bad[0]}"
            raise SpecError(
                [
                    f"problem: the boundary value of {name} is not finite at {point}; "
                    "give finite values there"
                ]
            )
    if not problem.has_finite_source():
        raise SpecError(["problem: a source is not finite in the domain; give one that is"])
