"""Stage `sample`: the spaces, written once, and the features of new samples."""

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset_folder import data_folder, family_of, save_run
from pipeline.interrupt import stoppable
from pipeline.problem import sample_rng
from pipeline.progress import progress
from pipeline.spec import Spec, data_key
from pipeline.spec_errors import SpecError
from storage import (
    FORMAT,
    DataFolder,
    StorageError,
    append_segment,
    read_order,
    read_records,
    rebuild_order,
    write_spaces,
)
from storage.spaces import SpaceTree

__all__ = ["sample", "sampler_of"]


def sample(spec: Spec, root: str | Path, quiet: bool = False) -> Path:
    """Make the data set's folder and add a segment with the samples it does not have yet.

    Not collective: one process does it.

    Returns:
        The data set's folder.

    Raises:
        RevisionMismatch: Another data set stands in the folder.
        Interrupted: A signal came; nothing was added.
    """
    folder = data_folder(spec, root)
    tree = None if folder.spaces.exists() else spaces_tree(spec)  # a bad spec writes nothing
    folder.create()
    save_run(folder, spec, f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{uuid.uuid4().hex[:8]}")
    if tree is not None:
        write_spaces(folder.spaces, tree)
    if not folder.order.exists():
        rebuild_order(folder.order, read_records(folder, data_key(spec)))
    ids = _new_ids(spec, folder)
    if len(ids):
        _append(spec, folder, ids, _features(spec, folder, ids, quiet))
    return folder.path


def _append(spec: Spec, folder: DataFolder, ids: NDArray[np.int64], features: NDArray) -> None:
    """Add a segment with those of the ids that no other run has added meanwhile."""
    new = np.isin(ids, _new_ids(spec, folder))
    while new.any():
        try:
            append_segment(folder.order, ids[new], features[new])
            return
        except StorageError:
            before, new = new, np.isin(ids, _new_ids(spec, folder))
            if np.array_equal(before, new):
                raise


def _new_ids(spec: Spec, folder: DataFolder) -> NDArray[np.int64]:
    known = {int(i) for segment in read_order(folder.order) for i in segment.ids}
    return np.array([i for i in range(spec.samples) if i not in known], dtype=np.int64)


def spaces_tree(spec: Spec) -> dict[str, Any]:
    """Return the tree of `spaces.h5` (docs/format.md): mesh, spaces, fields."""
    from mpi4py import MPI

    import meshes

    domain = meshes.UnitSquare(spec.mesh.resolution, spec.mesh.diagonal)
    tree: dict[str, Any] = {"format": FORMAT, "data_key": data_key(spec)}
    tree["mesh"] = meshes.mesh_tree(domain)
    mesh = meshes.mesh_from_tree(MPI.COMM_SELF, tree["mesh"])
    tree["mesh"]["original_cell_index"] = np.array(mesh.topology.original_cell_index)
    family = family_of(spec)
    names = {f.name: meshes.SpaceName(*f.space) for f in family.fields()}
    made = {str(name): meshes.make_space(mesh, name) for name in names.values()}
    grid = domain.grid()
    tree["spaces"] = {
        name: meshes.space_tree(V) | {"grid": meshes.grid_tree(V, *grid)}
        for name, V in made.items()
    }
    tree["fields"] = {
        f.name: {
            "role": f.role,
            "space": str(names[f.name]),
            "units": f.units,
            "description": f.description,
        }
        for f in family.fields()
    }
    problem = family.discretise({name: made[str(space)] for name, space in names.items()})
    _check_finite(problem, tree)
    for name, (dofs, values) in problem.constraints().items():
        tree["fields"][name] |= {"constrained": dofs, "values": values}
    return tree


def _check_finite(problem: Any, tree: dict[str, Any]) -> None:
    """Refuse boundary values and sources that are not finite on the mesh."""
    for name, (dofs, values) in problem.constraints().items():
        if (bad := dofs[~np.isfinite(values)]).size:
            point = tree["spaces"][tree["fields"][name]["space"]]["points"][bad[0]]
            raise SpecError([f"problem.boundary: not finite at {point}; give finite values there"])
    if not problem.has_finite_source():
        raise SpecError(["problem.source: not finite in the domain; give a source that is"])


def sampler_of(spec: Spec, spaces: Any) -> Any:
    """Return the family's sampler at the dof points of the stored spaces."""
    fields = family_of(spec).fields()
    tables = {f.name: spaces["spaces"][spaces["fields"][f.name]["space"]] for f in fields}
    return family_of(spec).sampler(
        {f.name: np.asarray(tables[f.name]["points"]) for f in fields if f.role == "input"}
    )


def _features(spec: Spec, folder: DataFolder, ids: NDArray, quiet: bool) -> NDArray:
    sampler = sampler_of(spec, SpaceTree(folder.spaces))
    rows = []
    with stoppable() as stop, progress("sample", len(ids), quiet) as task:
        for done, i in enumerate(ids, start=1):
            rows.append(sampler.features(sample_rng(spec.seed, int(i)), spec.order.features))
            stop.check()
            task(done)
    return np.array(rows)
