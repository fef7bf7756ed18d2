"""Data sets of many kinds for the tests of operators, and operators with random weights."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from scipy.sparse import coo_matrix, csr_matrix

from meshes import SpaceName, grid_tree, make_space, mesh_from_tree, space_tree
from pipeline import stages
from pipeline.operators import Operator, TrainConfig
from pipeline.operators.fe.normalisation import fit_normalisation
from pipeline.operators.task import make_task
from pipeline.operators.zoo import make_operator
from pipeline.spec import load_spec, parse_spec
from storage import (
    DataFolder,
    Dataset,
    ShardHeader,
    StoredFunction,
    append_segment,
    build_manifest,
    open_dataset,
    set_path,
    write_shard,
    write_spaces,
)

# isort: split
from mpi4py import MPI

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))
SIZES = {"disk": 0.4, "annulus": 0.3, "perforated_plate": 0.15, "channel_cylinder": 0.12}
LIGHT = {"train": None, "storage": {"shard_size": 16}}
SPLITS = {"train": 0.5, "validation": 0.25, "test": 0.25}


def darcy(samples: int, resolution: int, **problem: Any) -> dict[str, Any]:
    """A spec of Darcy's equation with a log-normal coefficient, and two coarser meshes."""
    law = {"law": "lognormal", "field": {"kind": "cosine", "alpha": 2.0, "tau": 3.0}}
    return {
        "name": "darcy",
        "seed": 7,
        "samples": samples,
        "problem": {"family": "darcy", "coefficient": law} | problem,
        "mesh": {"domain": "unit_square", "resolution": resolution, "levels": 3},
    }


def solved(spec: dict[str, Any], root: Path) -> Path:
    """Solve a spec by the real stages; returns the folder of the data set."""
    return _solve(parse_spec(LIGHT | {"splits": SPLITS, "rtol": 1e-10} | spec), root)


def solved_example(path: Path, root: Path, samples: int = 16) -> Path:
    """Solve an example on a coarse mesh."""
    mesh = yaml.safe_load(path.read_text())["mesh"]
    changes = [f"samples={samples}", "train=null"]
    changes += [f"splits.{name}={share}" for name, share in SPLITS.items()]
    if isinstance(mesh.get("resolution"), list):
        changes.append(
            f"mesh.resolution={[max(1, min(k, k // 8 or 2)) for k in mesh['resolution']]}"
        )
    elif "resolution" in mesh:
        changes.append(f"mesh.resolution={min(mesh['resolution'], 2 if 'levels' in mesh else 8)}")
    if "size" in mesh:
        changes.append(f"mesh.size={max(mesh['size'], SIZES.get(mesh['domain'], 0.3))}")
    return _solve(load_spec(path, changes), root)


def _solve(spec: Any, root: Path) -> Path:
    stages.solve(spec, root, quiet=True)
    (place,) = (p for p in root.iterdir() if p.is_dir())
    stages.finalise(spec, DataFolder(place))
    return place


def build(path: Path, config: dict[str, Any], seed: int = 0) -> tuple[Dataset, Operator]:
    """Open a data set and make an operator with random weights for it."""
    dataset = open_dataset(path)
    whole = TrainConfig.model_validate({"operator": config})
    task, train = make_task(dataset), dataset.split("train")
    torch.manual_seed(seed)
    normalisation = fit_normalisation(train, task, whole)
    return dataset, make_operator(whole.operator, task, normalisation, train)


def predict(operator: Operator, dataset: Dataset, rows: Any = slice(0, 4)) -> dict[str, Any]:
    """Coefficients of some samples, output → (B, T, dim)."""
    return operator.predict(operator.task.given(dataset, rows))


def copy_weights(source: Operator, target: Operator) -> None:
    """Give all learnt parameters to another operator."""
    known = dict(source.named_parameters())
    with torch.no_grad():
        for name, value in target.named_parameters():
            value.copy_(known[name])


def renumbered(path: Path, out: Path, seed: int = 3) -> tuple[Path, dict[str, csr_matrix]]:
    """Write the same functions on the same mesh with vertices and cells in another order.

    Numbers of dofs, their orientations and what stands in a cell's first place all change.

    Returns:
        The folder, and of each space T with new coefficients = T · old coefficients.
    """
    dataset = open_dataset(path)
    rng = np.random.default_rng(seed)
    old = dataset.mesh
    points, cells = np.asarray(old["points"]), np.asarray(old["cells"])
    new = rng.permutation(len(points))
    cells = np.argsort(new)[cells][rng.permutation(len(cells))]
    cells = rng.permuted(cells, axis=1)  # of simplices
    kept = {key: old[key] for key in ("cell_type", "gdim", "tdim")}
    mesh = kept | {"points": points[new], "cells": cells}
    built = mesh_from_tree(MPI.COMM_SELF, mesh)
    mesh["original_cell_index"] = np.array(built.topology.original_cell_index)
    spaces, maps = {}, {}
    for name in {field.space for field in dataset.fields.values()}:
        table = dataset.spaces[name]
        V = make_space(built, _name(table))
        grid = table["grid"]
        spaces[name] = space_tree(V) | {"grid": grid_tree(V, tuple(grid["shape"]), grid["points"])}
        maps[name] = _translation(old, table, mesh, spaces[name])
    tree = {"mesh": mesh, "spaces": spaces, "fields": _fields(dataset, maps)}
    _write(dataset, tree, maps, out)
    return out, maps


def _name(table: Any) -> SpaceName:
    family = {"N1E": "N1curl", "N2E": "N2curl"}.get(str(table["family"]), str(table["family"]))
    family = "DG" if table["discontinuous"] and family == "P" else family
    block = int(table["block_size"])
    return SpaceName(family, int(table["degree"]), (block,) if block > 1 else ())


def _translation(mesh: Any, old: Any, new_mesh: Any, new: Any) -> csr_matrix:
    """T (dim, dim): the new space's interpolation of each old basis function."""
    function = StoredFunction(mesh, old, np.zeros(int(old["dim"])))
    piola = "interpolation" in new
    where = np.asarray(new["interpolation"]["points"] if piola else new["points"])
    if piola:
        cells, X = function.locate(where)
    else:  # functions that jump need the right one of the cells around a vertex
        owner = np.empty(len(where), dtype=np.int64)
        owner[np.asarray(new["dofmap"])] = np.arange(len(new["dofmap"]))[:, None]
        middles = new_mesh["points"][new_mesh["cells"]].mean(axis=1)
        cells = function.locate(middles)[0][owner]
        X = function.pull_back(cells, where)
    phi, block = function.basis(cells, X), int(old["block_size"])
    nodes = np.asarray(old["dofmap"])[cells]
    values = phi.shape[2]
    rows, columns, entries = [], [], []
    for v, b in np.ndindex(values, block):
        at = np.arange(len(where)) * values * block + v * block + b
        rows.append(np.repeat(at, nodes.shape[1]))
        columns.append((nodes * block + b).ravel())
        entries.append(phi[:, :, v].ravel())
    place = (np.concatenate(rows), np.concatenate(columns))
    shape = (len(where) * values * block, int(old["dim"]))
    matrix = csr_matrix(coo_matrix((np.concatenate(entries), place), shape=shape))
    matrix = csr_matrix(new["interpolation"]["matrix"] @ matrix) if piola else matrix
    matrix.data[np.abs(matrix.data) < 1e-11] = 0.0
    matrix.eliminate_zeros()
    return matrix


def _fields(dataset: Dataset, maps: dict[str, csr_matrix]) -> dict[str, Any]:
    found = {}
    for name, field in dataset.fields.items():
        T = maps[field.space]
        entry = {"role": field.role, "space": field.space, "units": "1", "description": ""}
        if field.constrained is not None:
            mark = np.zeros(T.shape[1])
            mark[np.asarray(field.constrained)] = 1.0
            fixed = np.flatnonzero(abs(T) @ mark)
            entry["constrained"] = fixed.astype(np.int32)
            if field.values is not None:
                mark[np.asarray(field.constrained)] = field.values
                entry["values"] = (T @ mark)[fixed]
        found[name] = entry
    return found


def _write(dataset: Dataset, tree: dict[str, Any], maps: dict[str, csr_matrix], out: Path) -> None:
    folder = DataFolder(out)
    folder.create()
    spaces_hash = write_spaces(folder.spaces, tree)
    ids = np.asarray(dataset.ids)
    columns: dict[str, Any] = {"samples/id": ids}
    for name, field in dataset.fields.items():
        values = dataset.read(name).astype(np.float64)
        flat = values.reshape(-1, values.shape[-1])
        group = "outputs" if name in dataset.outputs else "inputs"
        columns[f"{group}/{name}"] = (maps[field.space] @ flat.T).T.reshape(values.shape)
    for name in dataset.parameters:
        columns[f"parameters/{name}"] = dataset.read(name)
    append_segment(folder.order, ids)
    set_path(folder.order, 0, ids, [0, len(ids)])
    key = str(dataset.manifest["data_key"])
    write_shard(folder, ShardHeader(key, 0, 0, spaces_hash), columns)
    common = {"name": "renumbered", "data_key": key, "rtol": 1e-8}
    splits = dataset.manifest["splits"]
    build_manifest(folder, common, split_seed=splits["seed"], fractions=splits["fractions"])


class Once:
    """Makes each thing once a session and keeps it under its name."""

    def __init__(self, root: Path) -> None:
        self.root, self.known, self.counter = root, {}, count()

    def __call__(self, name: str, make: Any) -> Any:
        """Return what `make(folder)` returned, for `name`."""
        if name not in self.known:
            self.known[name] = make(self.root / f"{next(self.counter)}-{name}")
        return self.known[name]
