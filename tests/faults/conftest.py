"""Fixtures of the fault tests; real runs are in `tests/pipeline/runs.py`."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "pipeline"))
pytest.register_assert_rewrite("runs", "killing")

from killing import write_case  # noqa: E402
from runs import Runner  # noqa: E402


@pytest.fixture(scope="session")
def rekrylov(tmp_path_factory):
    """Run `rekrylov`: `rekrylov("solve", spec, "--root", root, ranks=2)`."""
    return Runner(tmp_path_factory.mktemp("session"))


@pytest.fixture(scope="session")
def spec(tmp_path_factory):
    """A spec of 30 batches; the solver is picked, and solves in blocks."""
    return write_case(tmp_path_factory.mktemp("spec") / "small.yaml", "quick")


@pytest.fixture(scope="session")
def undisturbed(rekrylov, spec, tmp_path_factory):
    """The root of a finished run of the spec and the seconds it took; copy it to touch it."""
    root = tmp_path_factory.mktemp("undisturbed")
    done = rekrylov("run", spec, "--root", root, timeout=200)
    assert done.code == 0, done.text
    return root, done.seconds


@pytest.fixture
def root(undisturbed, tmp_path):
    """A copy of the finished run, to be harmed."""
    return shutil.copytree(undisturbed[0], tmp_path / "data", copy_function=shutil.copy)
