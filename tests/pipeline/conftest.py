"""Fixtures of the end-to-end tests; the rest is in `runs.py`."""

import pytest

pytest.register_assert_rewrite("runs")

from runs import Runner, write_spec  # noqa: E402


@pytest.fixture(scope="session")
def rekrylov(tmp_path_factory):
    """Run `rekrylov`: `rekrylov("solve", spec, "--root", root, ranks=2)`."""
    return Runner(tmp_path_factory.mktemp("session"))


@pytest.fixture(scope="session")
def spec(tmp_path_factory):
    """The small spec."""
    return write_spec(tmp_path_factory.mktemp("spec") / "small.yaml")


@pytest.fixture(scope="session")
def finished(rekrylov, spec, tmp_path_factory):
    """The root of a finished run of the small spec; copy it before you touch it."""
    root = tmp_path_factory.mktemp("finished")
    done = rekrylov("run", spec, "--root", root)
    assert done.code == 0, done.text
    return root
