"""What importing the package does to a fresh interpreter: next to nothing."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = ["mpi4py", "petsc4py", "dolfinx", "torch", "scipy", "prefect", "rich", "matplotlib"]


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)


def test_import_is_light_and_silent():
    code = (
        "import sys, logging, storage; names = {name.split('.')[0] for name in sys.modules};"
        f"print(sorted(names & set({HEAVY})), logging.getLogger().handlers)"
    )
    done = python(code)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "[] []\n")


def test_the_wrong_import_order_is_named():
    fake = "import sys, types; sys.modules['dolfinx.fem.petsc'] = types.ModuleType('x');"
    done = python(fake + "import storage")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: dolfinx.fem.petsc was imported before h5py")
    assert "import h5py (or rekrylov) before dolfinx.fem.petsc" in last
    assert python("import h5py;" + fake + "import storage").returncode == 0


def test_every_public_name_is_there():
    import storage

    assert [name for name in storage.__all__ if not hasattr(storage, name)] == []
