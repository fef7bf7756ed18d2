"""A cache of compiled code that is damaged, locked, full, read-only or deleted: the run goes on.

What a killed compile leaves behind is in `tests/pipeline/test_jit_cache.py`.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from runs import write_spec

pytestmark = pytest.mark.timeout(240)

TOLD = "cannot be used for compiled forms"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A spec that needs few forms."""
    return write_spec(tmp_path_factory.mktemp("tiny") / "tiny.yaml", samples=8)


@pytest.fixture(scope="module")
def warm(rekrylov, tiny, tmp_path_factory):
    """A cache with all that the spec needs."""
    home = tmp_path_factory.mktemp("warm")
    root = tmp_path_factory.mktemp("data")
    done = rekrylov("solve", tiny, "--root", root, env={"XDG_CACHE_HOME": str(home)})
    assert done.code == 0, done.text
    return home


@pytest.fixture
def home(warm, tmp_path):
    """A copy of it, all of it old."""
    copy = shutil.copytree(warm, tmp_path / "home")
    for path in copy.glob("fenics/*"):
        os.utime(path, (1e9, 1e9))
    return copy


@pytest.fixture
def solved(rekrylov, tiny, tmp_path):
    """Solve with a cache; the command has to end well."""

    def solve(home, *options, **keywords):
        env = {"XDG_CACHE_HOME": str(home), **keywords.pop("env", {})}
        line = ["solve", tiny, "--root", tmp_path / "data", *options]
        done = rekrylov(*line, env=env, timeout=120, **keywords)
        assert done.code == 0, done.text
        assert "8 of 8 samples stored" in done.out
        return done

    return solve


def modules(home):
    found = [p for p in home.glob("fenics/*") if p.suffix in (".so", ".cached")]
    assert found
    return [path for path in found if path.suffix == ".so"]


HARMS = {
    "torn": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize(
    ("harm", "ranks"),
    [
        ("torn", None),
        pytest.param("zeros", 2, marks=pytest.mark.long),
        pytest.param("gone", None, marks=pytest.mark.long),
    ],
)
def test_a_damaged_library_is_made_again(solved, home, harm, ranks):
    """Loading a torn one would end the process with SIGBUS."""
    sizes = {path: path.stat().st_size for path in modules(home)}
    for path in sizes:
        HARMS[harm](path)
    one_group = ["--set", "solve.ranks_per_solve=2"] if ranks else []
    done = solved(home, *one_group, ranks=ranks)
    assert TOLD not in done.text
    assert {path: path.stat().st_size for path in modules(home)} == sizes


@contextmanager
def compiler_of(sources):
    """A process that looks like a compiler of these files, and is stopped."""
    sleeping = [sys.executable, "-c", "import time; time.sleep(600)", *map(str, sources)]
    process = subprocess.Popen(sleeping, stdin=subprocess.DEVNULL)
    try:
        process.send_signal(signal.SIGSTOP)
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.long
def test_a_library_that_a_linker_may_be_writing_is_gone_around(solved, home):
    for path in modules(home):
        path.write_bytes(b"no library")
    with compiler_of(home.glob("fenics/*.c")):
        done = solved(home)
    assert done.err.count(TOLD) == 1
    assert all(path.read_bytes() == b"no library" for path in modules(home))


def test_a_compile_that_hangs_is_not_waited_for_without_end(solved, home, tmp_path):
    """A stopped compiler may go on; FFCx's patience is set to 1 s."""
    config = tmp_path / "config" / "dolfinx"
    config.mkdir(parents=True)
    (config / "dolfinx_jit_options.json").write_text(json.dumps({"timeout": 1}))
    sources = [path.with_suffix("") for path in home.glob("fenics/*.c.cached")]
    for source in sources:
        source.with_suffix(".c.cached").unlink()
    with compiler_of(sources):
        done = solved(home, env={"XDG_CONFIG_HOME": str(config.parent)})
    assert done.err.count(TOLD) == 1 and "timed out" in done.err
    assert all(source.exists() for source in sources), "it may be alive"


def test_a_lock_that_is_kept_is_not_waited_for_without_end(home, monkeypatch):
    from meshes import forms

    monkeypatch.setattr(forms, "_STALE_SECONDS", 0.3)
    for path in home.glob("fenics/*.c.cached"):
        path.unlink()
    with open(home / "fenics" / "mend.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as a stopped process would keep it
        assert forms.mend_cache(home / "fenics") == []
    assert forms.mend_cache(home / "fenics")


@pytest.mark.parametrize(
    "trouble",
    ["full", *(pytest.param(t, marks=pytest.mark.long) for t in ("read-only", "a file"))],
)
def test_a_cache_that_cannot_be_written(solved, disk, tmp_path, trouble):
    if trouble == "a file":
        home = tmp_path / "file"
        home.write_text("")
    else:
        place = disk("200k" if trouble == "full" else "4m")
        home = place.path
    if trouble == "read-only":
        place.remount("ro")
    done = solved(home)
    assert done.err.count(TOLD) == 1 and "set XDG_CACHE_HOME" in done.err


@pytest.mark.long
def test_a_read_only_cache_that_has_all_is_used(solved, warm, disk):
    place = disk("20m")
    shutil.copytree(warm, place.path, dirs_exist_ok=True)
    place.remount("ro")
    assert TOLD not in solved(place.path).text


def test_a_cache_that_is_deleted_under_way(rekrylov, tiny, tmp_path):
    """Over and over, while two ranks compile."""
    home = tmp_path / "home"
    env = {"XDG_CACHE_HOME": str(home)}
    process = rekrylov.start("solve", tiny, "--root", tmp_path / "data", ranks=2, env=env)
    end = time.monotonic() + 120
    while process.process.poll() is None and time.monotonic() < end:
        shutil.rmtree(home, ignore_errors=True)
        time.sleep(0.02)
    done = process.wait()
    assert done.code == 0, done.text
    assert "8 of 8 samples stored" in done.out
