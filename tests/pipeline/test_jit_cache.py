"""A cache of compiled forms that a killed compile has damaged mends itself."""

import json
import os
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def warm(rekrylov, spec, tmp_path_factory):
    """A cache with all forms of the small spec."""
    home = tmp_path_factory.mktemp("cache")
    root = tmp_path_factory.mktemp("data")
    done = rekrylov("sample", spec, "--root", root, env={"XDG_CACHE_HOME": str(home)})
    assert done.code == 0, done.text
    return home


def sources(home):
    found = sorted((home / "fenics").glob("libffcx_*.c"))
    assert found
    return found


def damage(home, age):
    """What a compile leaves that was killed `age` seconds ago, for every form."""
    for source in sources(home):
        source.with_suffix(".c.cached").unlink(missing_ok=True)
        for module in source.parent.glob(f"{source.stem}*.so"):
            module.unlink()
        then = time.time() - age
        os.utime(source, (then, then))


@pytest.mark.parametrize("ranks", [None, 2])
def test_an_old_compile_that_was_killed(rekrylov, spec, warm, tmp_path, ranks):
    """It is not waited for: FFCx would do so for ten minutes here."""
    damage(warm, age=30)
    options = tmp_path / "dolfinx" / "dolfinx_jit_options.json"
    options.parent.mkdir()
    options.write_text(json.dumps({"timeout": 600}))
    env = {"XDG_CACHE_HOME": str(warm), "XDG_CONFIG_HOME": str(tmp_path)}
    done = rekrylov("solve", spec, "--root", tmp_path / "data", ranks=ranks, env=env)
    assert done.code == 0, done.text
    assert all(source.with_suffix(".c.cached").exists() for source in sources(warm))


@pytest.mark.long
def test_a_compile_that_was_killed_just_now(rekrylov, spec, warm, tmp_path):
    """It may be alive, so it is waited for as long as FFCx waits."""
    sources(warm)[0].with_suffix(".c.cached").unlink()
    for source in sources(warm):
        source.touch()
    env = {"XDG_CACHE_HOME": str(warm)}
    done = rekrylov("solve", spec, "--root", tmp_path, ranks=2, env=env)
    assert done.code == 0, done.text


def test_nothing_whole_or_living_is_touched(warm, tmp_path):
    from meshes.forms import mend_cache

    folder = warm / "fenics"
    for source in sources(warm):
        os.utime(source, (0, 0))
    before = sorted(path.name for path in folder.iterdir())
    assert mend_cache(folder) == []
    assert sorted(path.name for path in folder.iterdir()) == before
    young, living, dead = (tmp_path / f"libffcx_forms_{n}.c" for n in ("young", "living", "dead"))
    for path in (young, living, dead):
        path.touch()
    for path in (living, dead):
        os.utime(path, (0, 0))
    compiler = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)", str(living)], stdin=subprocess.DEVNULL
    )
    try:
        assert mend_cache(tmp_path) == [dead]
    finally:
        compiler.kill()
        compiler.wait()
    assert mend_cache(tmp_path) == [living]
    assert young.exists() and not dead.exists()
    assert mend_cache(tmp_path / "none") == []


@pytest.mark.long
def test_kills_while_it_compiles(rekrylov, spec, tmp_path):
    """Runs with an empty cache, killed in the middle of their compiles, then finished."""
    for number in range(6):
        home, root = tmp_path / f"cache{number}", tmp_path / f"data{number}"
        env = {"XDG_CACHE_HOME": str(home)}
        process = rekrylov.start("solve", spec, "--root", root, ranks=2, env=env)
        end = time.monotonic() + 60
        while time.monotonic() < end and len(list(home.glob("fenics/*.c"))) <= number % 3:
            time.sleep(0.005)
        time.sleep(0.02 * number)
        process.kill()
        process.wait()
        done = rekrylov("solve", spec, "--root", root, ranks=2, env=env)
        assert done.code == 0, f"kill {number}\n{done.text}"
