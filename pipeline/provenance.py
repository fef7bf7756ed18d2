"""Where a data set comes from: versions, commit, host, launch."""

import getpass
import os
import platform
import socket
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["provenance"]

_PACKAGES = ("rekrylov", "numpy", "scipy", "h5py", "dolfinx-solver-real")


def provenance() -> dict[str, Any]:
    """Return versions, git commit, host, user, time and launch of this process.

    Starts MPI, to ask PETSc, DOLFINx and the MPI library for their versions.
    """
    import h5py  # noqa: F401 - before DOLFINx
    import dolfinx_solver  # noqa: F401  # isort: skip
    import dolfinx
    from mpi4py import MPI
    from petsc4py import PETSc

    versions = {name: _version(name) for name in _PACKAGES}
    versions["python"] = platform.python_version()
    versions["petsc"] = ".".join(map(str, PETSc.Sys.getVersion()))
    versions["dolfinx"] = dolfinx.__version__
    versions["mpi"] = MPI.Get_library_version().split("\n")[0].strip("\0 ")
    return {
        "versions": versions,
        "git_commit": _git_commit(),
        "host": socket.gethostname(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "user": _user(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def _git_commit() -> str | None:
    """The commit of the source tree this file is in; "+" if there are uncommitted changes."""
    where = Path(__file__).resolve().parent
    try:
        head = _git(where, "rev-parse", "HEAD")
        return head + ("+" if _git(where, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(where: Path, *args: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(where), *args], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
