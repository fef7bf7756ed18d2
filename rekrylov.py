"""Rekrylov's public face: names only, each loaded when it is first used.

Importing this starts no MPI. `GCRODR`, `Strategy`, `System`, `solve_stream` and the mesh names
load PETSc, DOLFINx and MPI when they are first asked for.
"""

from importlib import import_module
from typing import Any

import storage  # noqa: F401 - refuses, with the fix, if DOLFINx was loaded before h5py

_HOMES = {
    "pipeline.dataset_folder": ["data_folder"],
    "pipeline.family": ["Family", "Output", "quantity"],
    "pipeline.inputs": ["Coefficient", "ScalarCoefficient"],
    "pipeline.manufactured": ["consistency", "manufactured_errors"],
    "pipeline.models": ["SpaceSpec"],
    "pipeline.run": ["run"],
    "pipeline.spec": ["Spec", "data_key", "load_spec", "parse_spec"],
    "pipeline.spec_errors": ["SpecError"],
    "pipeline.solve_systems": ["solve_systems"],
    "pipeline.stages": ["check", "finalise", "order", "sample", "solve", "status", "train"],
    "pipeline.ordering": ["path_length", "sort_features"],
    "pipeline.operators": ["TrainConfig", "load_checkpoint"],
    "solvers": [
        "GCRODR",
        "DeflatedCG",
        "Solution",
        "Strategy",
        "System",
        "solve_stream",
        "true_residual",
    ],
    "solvers.system_files": ["SystemFile", "SystemFileError", "find_systems"],
    "solvers.system_reader": ["read_systems"],
    "storage": ["Dataset", "DataFolder", "StorageError", "open_dataset"],
    "meshes": ["CanonicalMap", "SpaceName", "make_space", "mesh_from_tree", "space_tree"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'rekrylov' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
