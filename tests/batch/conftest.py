"""Fixtures of the tests of batch scripts: the scripts, an environment, a Slurm cluster."""

import os
import shutil
import sys
from contextlib import ExitStack

import pytest

pytest.register_assert_rewrite("slurm_cluster")

from outcome import SHIPPED  # noqa: E402
from slurm_cluster import cluster_or_skip  # noqa: E402

SPEC = """
name: tiny
seed: 7
samples: 240
problem: {family: darcy, coefficient: {law: lognormal}}
mesh: {domain: unit_square, resolution: 16}
rtol: 1.0e-8
solve: {strategy: {ksp: gcrodr, pc: icc}}
storage: {shard_size: 4}
"""


@pytest.fixture(scope="session")
def env():
    """The environment of an activated installation, without traces of another launcher."""
    outer = ("PMI", "HYD", "MPI_LOCAL", "OMPI_", "SLURM_", "SBATCH_", "PBS_", "PETSC_OPTIONS")
    found = {k: v for k, v in os.environ.items() if not k.startswith(outer)}
    return found | {"VIRTUAL_ENV": sys.prefix}


@pytest.fixture(scope="session")
def spec(tmp_path_factory):
    """A spec whose solve stage lasts some seconds: long enough for a signal to meet it."""
    path = tmp_path_factory.mktemp("spec") / "tiny.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A running cluster of two nodes."""
    with ExitStack() as stack:
        yield cluster_or_skip(tmp_path_factory.mktemp("slurm"), stack)


@pytest.fixture
def edit(tmp_path):
    """Copy the scripts and replace lines, as a user does; returns the folder of the copies."""

    def edited(**changes):
        folder = tmp_path / "scripts"
        shutil.copytree(SHIPPED, folder, dirs_exist_ok=True)
        for name, lines in changes.items():
            path = folder / name.replace("_", ".")
            text = path.read_text()
            for old, new in lines.items():
                assert text.count(f"{old}\n") == 1, f"{name}: {old}"
                text = text.replace(f"{old}\n", f"{new}\n")
            path.write_text(text)
        return folder

    return edited
