"""Small data sets written by the real writer, for tests of readers.

`make_dataset(root, "scalar" | "mixed" | "time" | "displacement", …)` writes a whole folder
(spaces, order, shards, manifest) without a PDE: outputs are simple functions of inputs, and
residuals are made up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from storage import (
    DataFolder,
    ShardHeader,
    append_segment,
    build_manifest,
    set_path,
    write_shard,
    write_spaces,
)

KINDS = ("scalar", "mixed", "time", "displacement")
KEY = "0123456789"


def square_mesh(m: int = 4) -> dict[str, Any]:
    """Unit square, (m+1)² vertices, 2m² triangles."""
    x = np.linspace(0.0, 1.0, m + 1)
    points = np.stack(np.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2)
    corner = np.array([[i * (m + 1) + j for j in range(m)] for i in range(m)]).ravel()
    low = np.stack([corner, corner + m + 1, corner + 1], 1)
    high = np.stack([corner + m + 1, corner + m + 2, corner + 1], 1)
    cells = np.stack([low, high], 1).reshape(-1, 3)
    return {
        "cell_type": "triangle",
        "gdim": 2,
        "tdim": 2,
        "points": points,
        "cells": cells,
        "original_cell_index": np.arange(len(cells)),
    }


def p1_grams(points: np.ndarray, cells: np.ndarray) -> dict[str, Any]:
    """P1 mass and stiffness matrices on triangles, CSR."""
    n = len(points)
    edges = points[cells[:, [2, 0, 1]]] - points[cells[:, [1, 2, 0]]]
    det = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    area = np.abs(det) / 2
    local_k = np.einsum("cid,cjd->cij", edges, edges) / (4 * area)[:, None, None]
    local_m = area[:, None, None] * (np.ones((3, 3)) + np.eye(3)) / 12
    rows, cols = np.repeat(cells, 3, axis=1).ravel(), np.tile(cells, (1, 3)).ravel()
    return {
        "mass": sp.csr_matrix((local_m.ravel(), (rows, cols)), shape=(n, n)),
        "stiffness": sp.csr_matrix((local_k.ravel(), (rows, cols)), shape=(n, n)),
    }


def p1_space(mesh: dict[str, Any], block: int = 1) -> dict[str, Any]:
    """Tables of a P1 space on the vertices, blocked if `block` > 1 (dofs interleaved)."""
    n = len(mesh["points"])
    grams = p1_grams(mesh["points"], mesh["cells"])
    if block > 1:
        grams = {name: sp.kron(g, sp.eye(block), format="csr") for name, g in grams.items()}
    return {
        "family": "P",
        "degree": 1,
        "value_shape": () if block == 1 else (block,),
        "block_size": block,
        "map_type": "identity",
        "needs_transformations": False,
        "dim": n * block,
        "cell_type": "triangle",
        "lagrange_variant": "gll_warped",
        "dpc_variant": "unset",
        "discontinuous": False,
        "element": f"P1[{block}]",
        "dofmap": mesh["cells"].astype(np.int32),
        "cell_permutation_info": np.zeros(len(mesh["cells"]), np.uint32),
        "points": mesh["points"],
        "grams": grams,
    }


def p0_space(mesh: dict[str, Any]) -> dict[str, Any]:
    """Tables of the cell-wise constants."""
    nc = len(mesh["cells"])
    corners = mesh["points"][mesh["cells"]]
    d = corners[:, 1:] - corners[:, :1]
    area = np.abs(d[:, 0, 0] * d[:, 1, 1] - d[:, 0, 1] * d[:, 1, 0]) / 2
    return {
        "family": "P",
        "degree": 0,
        "value_shape": (),
        "block_size": 1,
        "map_type": "identity",
        "needs_transformations": False,
        "dim": nc,
        "cell_type": "triangle",
        "lagrange_variant": "gll_warped",
        "dpc_variant": "unset",
        "discontinuous": True,
        "element": "DG0",
        "dofmap": np.arange(nc, dtype=np.int32)[:, None],
        "cell_permutation_info": np.zeros(nc, np.uint32),
        "points": corners.mean(1),
        "grams": {"mass": sp.diags(area, format="csr")},
    }


def make_tree(kind: str = "scalar", m: int = 4) -> dict[str, Any]:
    """The `spaces.h5` tree of a kind of data set."""
    mesh = square_mesh(m)
    x = mesh["points"]
    edge = np.flatnonzero(((x == 0) | (x == 1)).any(axis=1)).astype(np.int32)
    fixed = {"constrained": edge, "values": np.zeros(len(edge))}
    field = {"units": "1", "description": ""}
    tree: dict[str, Any] = {"mesh": mesh, "spaces": {"p1": p1_space(mesh)}}
    tree["fields"] = {
        "a": field | {"role": "input", "space": "p1", "description": "coefficient"},
        "u": field | fixed | {"role": "output", "space": "p1", "description": "solution"},
    }
    if kind == "mixed":
        tree["spaces"] |= {"p1v": p1_space(mesh, 2), "p0": p0_space(mesh)}
        n, nc = 2 * len(x), len(mesh["cells"])
        tree["fields"] = {"a": tree["fields"]["a"]} | {
            "velocity": field | {"role": "output", "space": "p1v"},
            "pressure": field | {"role": "output", "space": "p0"},
        }
        numbering = np.random.default_rng(0).permutation(n + nc).astype(np.int32)
        tree["blocks"] = {"w": {"velocity": numbering[:n], "pressure": numbering[n:]}}
    if kind == "displacement":
        tree["spaces"]["p1v"] = p1_space(mesh, 2)
        tree["fields"]["displacement"] = field | {"role": "input", "space": "p1v", "units": "m"}
    return tree


def make_columns(
    kind: str, tree: dict[str, Any], ids: np.ndarray, steps: int = 5
) -> dict[str, np.ndarray]:
    """Columns of a batch; sample i depends on i alone."""
    return _stack([_sample(kind, tree, int(i), steps) for i in ids], ids)


def _stack(samples: list[dict[str, Any]], ids: np.ndarray) -> dict[str, np.ndarray]:
    n = len(ids)
    columns = {name: np.stack([s[name] for s in samples]) for name in samples[0]}
    return columns | {
        "samples/id": np.asarray(ids, np.int64),
        "samples/order": np.arange(n),
        "solve/iterations": np.full(n, 7, np.int32),
        "solve/true_residual": np.full(n, 1e-9),
        "solve/reason": np.full(n, 2, np.int32),
        "solve/seconds": np.full(n, 1e-3),
    }


def _sample(kind: str, tree: dict[str, Any], i: int, steps: int) -> dict[str, Any]:
    """One sample: a = exp(Σ cₖ sin …) on vertices, u = bubble · (smooth function of c)."""
    rng = np.random.default_rng((17, i))
    x, y = tree["mesh"]["points"].T
    c = rng.standard_normal(3)
    waves = c[0] * np.sin(np.pi * x) + c[1] * np.sin(np.pi * y) + c[2] * np.sin(np.pi * x * y)
    a = np.exp(0.5 * waves)
    bubble = 16 * x * (1 - x) * y * (1 - y)
    u = bubble / (1 + a)
    sample: dict[str, Any] = {"inputs/a": a, "parameters/c": c}
    if kind == "mixed":
        sample["outputs/velocity"] = np.stack([u, a], -1).ravel()
        sample["outputs/pressure"] = a[tree["mesh"]["cells"]].mean(1)
        return sample
    if kind == "displacement":
        sample["inputs/displacement"] = 0.05 * np.stack([u, -u], -1).ravel()
    if kind != "time":
        return sample | {"outputs/u": u}
    used = 2 + i % (steps - 1)
    times = np.where(np.arange(steps) < used, np.arange(steps) * (0.1 + 0.01 * (i % 3)), np.nan)
    decay = np.exp(-np.nan_to_num(times))[:, None] * u
    decay[used:] = np.nan
    return sample | {
        "outputs/u": decay,
        "times": times,
        "times_mask": np.arange(steps) < used,
    }


def make_dataset(
    root: Path,
    kind: str = "scalar",
    samples: int = 24,
    shard_size: int = 8,
    m: int = 4,
    failed: tuple[int, ...] = (),
    finalise: bool = True,
    **options: Any,
) -> Path:
    """Write a whole data set; returns its folder."""
    folder = DataFolder(Path(root) / f"{kind}-{KEY}")
    folder.create()
    tree = make_tree(kind, m)
    digest = write_spaces(folder.spaces, tree)
    ids = np.arange(samples)
    append_segment(folder.order, ids, ids[:, None] * 1.0)
    path = np.random.default_rng(3).permutation(samples)
    segment = set_path(folder.order, 0, path, [*range(0, samples, shard_size), samples])
    for batch in range(segment.batches):
        write_batch(folder, kind, tree, digest, segment.batch_ids(batch), batch, failed, **options)
    if finalise:
        build_manifest(folder, {"name": kind, "data_key": KEY, "rtol": 1e-8}, split_seed=1)
    return folder.path


def write_batch(
    folder: DataFolder,
    kind: str,
    tree: dict[str, Any],
    digest: str,
    ids: np.ndarray,
    batch: int,
    failed: tuple[int, ...] = (),
    **options: Any,
) -> Any:
    """Commit one batch; ids in `failed` are listed as failures."""
    good = np.array([i for i in ids if i not in failed], dtype=np.int64)
    columns = make_columns(kind, tree, good) if len(good) else {"samples/id": good}
    names = {f"{f['role']}s/{name}": f for name, f in tree["fields"].items()}
    keys = ("space", "units", "description")
    attributes = {name: {key: f[key] for key in keys} for name, f in names.items()}
    failures = [{"id": int(i), "reason": "made to fail"} for i in ids if i in failed]
    header = ShardHeader(KEY, 0, batch, digest)
    return write_shard(folder, header, columns, attributes, failures, **options)
