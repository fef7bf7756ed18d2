"""What imports do in a fresh interpreter, and which package imports which."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"mpi4py.MPI", "petsc4py", "petsc4py.PETSc", "dolfinx", "dolfinx_solver", "torch"}
HEAVY |= {"prefect", "matplotlib.pyplot"}
OWN = ["pipeline", "flows", "meshes", "solvers", "storage", "rekrylov"]


def python(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    return done


@pytest.mark.parametrize(
    "name",
    [
        "pipeline",
        "pipeline.cli",
        "pipeline.run",
        "pipeline.stages",
        "pipeline.launch",
        "pipeline.operators",
        "flows",
        "storage",
        "rekrylov",
    ],
)
def test_import_is_light_and_silent(name):
    done = python(
        "import logging, signal, sys\n"
        "before = [signal.getsignal(n) for n in (2, 15)]\n"
        f"import {name}\n"
        f"print(sorted({HEAVY} & set(sys.modules)), logging.getLogger().handlers, "
        "logging.getLogger().level == logging.WARNING, "
        "before == [signal.getsignal(n) for n in (2, 15)])"
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "[] [] True True\n")


def test_the_public_face_loads_the_solvers_when_asked():
    done = python(
        "import sys, rekrylov\n"
        "assert 'GCRODR' in dir(rekrylov) and 'mpi4py.MPI' not in sys.modules\n"
        "print(rekrylov.GCRODR(restart=30, recycle=10).__class__.__module__)\n"
        "assert 'mpi4py.MPI' in sys.modules\n"
        "import h5py, dolfinx.fem.petsc\n"
    )
    assert (done.returncode, done.stdout) == (0, "solvers.gcrodr\n"), done.stderr


def test_every_public_name_is_there():
    done = python(
        "import rekrylov\n"
        "print([n for n in rekrylov.__all__ if getattr(rekrylov, n, None) is None])\n"
        "rekrylov.nothing"
    )
    assert done.stdout == "[]\n", done.stderr
    assert "module 'rekrylov' has no attribute 'nothing'" in done.stderr


@pytest.mark.parametrize("name", ["rekrylov", "storage", "pipeline.cli"])
def test_dolfinx_before_us_is_named(name):
    done = python(f"import dolfinx_solver, dolfinx.fem.petsc\nimport {name}")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: dolfinx.fem.petsc was imported before h5py")
    assert "import h5py (or rekrylov) before dolfinx.fem.petsc" in last
    assert python(f"import rekrylov, dolfinx_solver, dolfinx.fem.petsc, {name}").returncode == 0


def imported(path):
    """The top names of what a file imports, lazily or not."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def own_imports(folder, inside=""):
    """Our packages that the files of a folder import, itself left out."""
    found = {}
    for path in (ROOT / folder).rglob("*.py"):
        for name in imported(path):
            first = name.split(".")[0]
            if first in OWN and not name.startswith(inside or folder):
                found.setdefault(first, []).append(str(path.relative_to(ROOT)))
    return found


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("storage", set()),
        ("meshes", set()),
        ("solvers", set()),
        ("pipeline", {"meshes", "solvers", "storage"}),
        ("flows", {"pipeline", "storage"}),
    ],
)
def test_imports_point_downwards(folder, allowed):
    found = own_imports(folder)
    assert set(found) <= allowed, found


def test_training_imports_storage_only():
    found = own_imports("pipeline/operators", inside="pipeline.operators")
    assert set(found) == {"storage"}, found
    done = python(
        "import sys, pipeline.operators as operators\n"
        "[getattr(operators, name) for name in operators.__all__]\n"
        f"own = {{n.split('.')[0] for n in sys.modules}} & set({OWN})\n"
        "inner = {n for n in sys.modules if n.startswith('pipeline.')}\n"
        "print(sorted(own), all(n.startswith('pipeline.operators') for n in inner))"
    )
    assert done.stdout == "['pipeline', 'storage'] True\n", done.stderr


def test_prefect_is_in_flows_only():
    for folder in OWN[:1] + OWN[2:5]:
        for path in (ROOT / folder).rglob("*.py"):
            assert not any(name.startswith("prefect") for name in imported(path)), path


def test_heavy_libraries_stay_in_their_packages():
    """Outside of meshes and solvers, MPI, PETSc and DOLFINx are imported inside functions only."""
    for folder in ("pipeline", "storage", "flows"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    module = getattr(node, "module", None)
                    names = [module] if module else [alias.name for alias in node.names]
                    heavy = {"mpi4py", "petsc4py", "dolfinx", "dolfinx_solver", "meshes", "solvers"}
                    assert not heavy & {name.split(".")[0] for name in names}, path
