"""`spaces.h5`: a tree of mesh and space tables, and its hash.

A dict is a group, an array a data set, a scalar, string or tuple an attribute, a SciPy CSR
matrix a group of `indptr`, `indices`, `data` with the attributes `shape` and `kind = "csr"`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from storage import files
from storage.errors import DamagedFile, RevisionMismatch
from storage.hdf5 import build_image, opened

__all__ = ["SpaceTree", "read_spaces", "spaces_hash", "tree_hash", "write_spaces"]

type Tree = dict[str, Any]


def write_spaces(path: Path, tree: Mapping[str, Any]) -> str:
    """Write a tree once, atomically, and return its hash.

    Args:
        path: of `spaces.h5`. If it exists it must hold the same tree, and is left alone.
        tree: nested dicts of arrays, CSR matrices, scalars, strings and tuples.

    Raises:
        RevisionMismatch: the file exists with another hash.
        TypeError, ValueError: the tree holds something else, or a name that is no name.
    """
    if "hash" in tree:
        raise ValueError("the root of a tree can't hold 'hash', the file keeps its own there")
    plain = _canonical(tree, "")
    digest = _hash(plain)

    def fill(file: h5py.File) -> None:
        _write_group(file, plain)
        file.attrs["hash"] = digest

    image = build_image(fill, _size(plain))
    if not files.commit_bytes(Path(path), image, replace=False) and spaces_hash(path) != digest:
        raise RevisionMismatch(
            f"{path}: has hash {spaces_hash(path)[:10]}, the new spaces have {digest[:10]}; "
            "the stored mesh is the only one of this data set, use it"
        )
    return digest


def read_spaces(path: Path, verify: bool = False) -> Tree:
    """Read the whole tree (CSR matrices as SciPy's); without the root's `hash`.

    Args:
        path: of `spaces.h5`.
        verify: compare the hash of what was read with the stored one.

    Raises:
        FileNotFoundError: there is none.
        DamagedFile: it can't be read, or has another hash than it says.
    """
    with opened(Path(path)) as file:
        tree = _read(file)
    stored = tree.pop("hash", None)
    if verify and (found := tree_hash(tree)) != stored:
        raise DamagedFile(
            f"{path}: hash of its content is {found[:10]}, it says {str(stored)[:10]}; "
            "restore it from a copy"
        )
    return tree


def spaces_hash(path: Path) -> str:
    """The hash stored in `spaces.h5`."""
    with opened(Path(path)) as file:
        return str(file.attrs["hash"])


def tree_hash(tree: Mapping[str, Any]) -> str:
    """SHA-256 over names, types, shapes and bytes of a tree, whatever the order of its dicts."""
    return _hash(_canonical(tree, ""))


class SpaceTree(Mapping[str, Any]):
    """A lazy view of a group of `spaces.h5`: a table is read when it is asked for, and kept.

    `tree["grams/mass"]` and `tree["grams"]["mass"]` are the same CSR matrix.
    """

    def __init__(self, path: Path, group: str = "/") -> None:
        self._path = Path(path)
        self._group = group
        self._cache: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        first, _, rest = name.partition("/")
        if first not in self._cache:
            self._cache[first] = self._load(first)
        return self._cache[first][rest] if rest else self._cache[first]

    def __iter__(self) -> Iterator[str]:
        with opened(self._path) as file:
            group = file[self._group]
            return iter([*group.keys(), *group.attrs.keys()])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"SpaceTree({self._group}: {', '.join(self)})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": {}}

    def _load(self, name: str) -> Any:
        with opened(self._path) as file:
            group = file[self._group]
            if name in group.attrs:
                return _attribute(group.attrs[name])
            if name in group:
                item = group[name]
                if isinstance(item, h5py.Group) and item.attrs.get("kind") != "csr":
                    return SpaceTree(self._path, item.name)
                return _read(item)
        raise KeyError(f"{name!r} is not in {self._path}:{self._group}; it has {list(self)}")


def _canonical(tree: Mapping[str, Any], where: str) -> Tree:
    """Sort names, turn leaves into arrays or plain scalars, and CSR matrices into groups."""
    plain: Tree = {}
    for name in sorted(tree):
        if not isinstance(name, str) or not name or "/" in name or name in (".", ".."):
            raise ValueError(f"{name!r} in {where or '/'} is no name for a group or table")
        plain[name] = _canonical_leaf(tree[name], f"{where}/{name}")
    return plain


def _canonical_leaf(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return _canonical(value, where)
    if getattr(value, "format", None) == "csr":
        matrix = value.copy()
        matrix.sum_duplicates()  # sorts the indices, too
        index = np.int32 if max(matrix.nnz, *matrix.shape) < 2**31 else np.int64
        indptr, indices = matrix.indptr.astype(index), matrix.indices.astype(index)
        shape = tuple(int(n) for n in matrix.shape)
        return {"data": matrix.data, "indices": indices, "indptr": indptr} | {
            "kind": "csr",
            "shape": shape,
        }
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
    if isinstance(value, str | bool | int | float | np.generic):
        return value.item() if isinstance(value, np.generic) else value
    if isinstance(value, tuple | list) and all(
        isinstance(item, str | bool | int | float | np.generic) for item in value
    ):
        return tuple(np.array(value).tolist())  # as HDF5 keeps it: all of one type
    raise TypeError(
        f"{where} is a {type(value).__name__}; a tree holds dicts, numeric arrays, "
        "CSR matrices, scalars, strings and tuples of them"
    )


def _hash(plain: Tree) -> str:
    digest = hashlib.sha256()
    _feed(digest, plain, "")
    return digest.hexdigest()


def _feed(digest: Any, plain: Tree, where: str) -> None:
    for name, value in plain.items():
        path = f"{where}/{name}"
        if isinstance(value, dict):
            digest.update(f"group {path}\n".encode())
            _feed(digest, value, path)
        elif isinstance(value, np.ndarray):
            digest.update(f"array {path} {value.dtype.str} {value.shape}\n".encode())
            digest.update(value.data if value.size else b"")
            digest.update(b"\n")
        else:
            digest.update(f"value {path} {value!r}\n".encode())


def _size(plain: Tree) -> int:
    sizes = (_size(v) if isinstance(v, dict) else getattr(v, "nbytes", 64) for v in plain.values())
    return sum(sizes) + 1024


def _write_group(group: h5py.Group, plain: Tree) -> None:
    for name, value in plain.items():
        if isinstance(value, dict):
            _write_group(group.create_group(name), value)
        elif isinstance(value, np.ndarray):
            group.create_dataset(name, data=value)
        elif isinstance(value, tuple) and any(isinstance(item, str) for item in value):
            group.attrs.create(name, list(value), dtype=h5py.string_dtype())
        else:
            group.attrs[name] = value


def _read(item: h5py.Group | h5py.Dataset) -> Any:
    if isinstance(item, h5py.Dataset):
        return item[()]
    values: Tree = {name: _read(child) for name, child in item.items()}
    values.update((name, _attribute(value)) for name, value in item.attrs.items())
    if values.get("kind") == "csr":
        from scipy.sparse import csr_matrix

        parts = (values["data"], values["indices"], values["indptr"])
        matrix = csr_matrix(parts, shape=values["shape"])
        matrix.check_format(full_check=True)  # SciPy ends the process on indices out of range
        matrix.has_canonical_format = True
        return matrix
    return values


def _attribute(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return tuple(value.tolist())
    return value.item() if isinstance(value, np.generic) else value
