"""SIGTERM and SIGINT: a clean end after the current sample, exit code 4, nothing left behind."""

import contextlib
import random
import signal
import sys
import time

import pytest
from runs import (
    SIGNALS,
    assert_same,
    assert_sound,
    committed,
    records_below,
    samples,
    wait_until,
    write_spec,
)

from pipeline import interrupt

pytestmark = pytest.mark.timeout(120)

STOPPED = "committed shards are kept, the same command goes on from there"


@pytest.fixture(scope="session")
def many(tmp_path_factory):
    """A spec that takes seconds to solve."""
    path = tmp_path_factory.mktemp("many") / "many.yaml"
    return write_spec(path, samples=1200, mesh__resolution=16, storage__shard_size=8)


@pytest.fixture(scope="session")
def expected(rekrylov, many, tmp_path_factory):
    root = tmp_path_factory.mktemp("expected")
    done = rekrylov("solve", many, "--root", root, ranks=2)
    assert done.code == 0, done.text
    return samples(root)


WAYS = {
    "solve": (["solve"], {}),
    "run": (["run"], {}),
    "run, two ranks": (["run", "--ranks", "2"], {}),
    "mpiexec": (["solve"], {"ranks": 2}),
    "mpiexec, one group": (["solve", "--set", "solve.ranks_per_solve=2"], {"ranks": 2}),
}


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize(
    "way",
    [
        "solve",
        "run, two ranks",
        "mpiexec",
        pytest.param("run", marks=pytest.mark.long),
        pytest.param("mpiexec, one group", marks=pytest.mark.long),
    ],
)
def test_a_signal_ends_cleanly(rekrylov, many, expected, tmp_path, way, number):
    (command, *rest), options = WAYS[way]
    line = [command, many, "--root", tmp_path, *rest]
    process = rekrylov.start(*line, **options)
    wait_until(lambda: records_below(tmp_path) > 2, process)
    asked = time.monotonic()
    process.send(number)
    done = process.wait(20)
    assert time.monotonic() - asked < 8
    assert done.code == 4, done.text
    assert STOPPED in done.text
    assert "Traceback" not in done.text and "PETSC ERROR" not in done.text
    assert "Abort" not in done.text and "BAD TERMINATION" not in done.text
    assert not [name for name in tmp_path.rglob("*.tmp")]
    process.assert_nothing_left()
    before = committed(tmp_path)
    assert len(before) < 150
    again = rekrylov(*line, **options)
    assert again.code == 0, again.text
    after = committed(tmp_path)
    assert {name: after[name] for name in before} == before
    assert_same(samples(tmp_path), expected)


def test_a_second_signal_ends_at_once(rekrylov, tmp_path):
    """The first one waits for a sample that takes long."""
    spec = write_spec(tmp_path / "slow.yaml", mesh__resolution=256, samples=40)
    process = rekrylov.start("solve", spec, "--root", tmp_path / "data")
    wait_until(lambda: list(tmp_path.glob("data/*/order.h5")), process)
    time.sleep(0.5)
    process.send(signal.SIGTERM)
    time.sleep(0.1)
    process.send(signal.SIGTERM)
    asked = time.monotonic()
    done = process.wait(20)
    assert done.code in (4, -signal.SIGTERM)
    assert time.monotonic() - asked < 5


def test_a_signal_while_it_samples(rekrylov, spec, tmp_path):
    process = rekrylov.start("sample", spec, "--root", tmp_path, "--set", "samples=1000000")
    wait_until(lambda: list(tmp_path.glob("*/spaces.h5")), process)
    process.send(signal.SIGTERM)
    done = process.wait(20)
    assert done.code == 4, done.text
    assert STOPPED in done.text and "Traceback" not in done.text
    assert not list(tmp_path.glob("*/order.h5"))
    assert rekrylov("run", spec, "--root", tmp_path).code == 0
    assert_sound(tmp_path)


@pytest.mark.parametrize("ranks", [None, 2])
@pytest.mark.parametrize("place", ["check_launcher", "load_spec"])
def test_a_signal_before_the_solve(rekrylov, spec, tmp_path, place, ranks):
    """PETSc runs by then, and would take SIGTERM for itself; one rank is told before others."""
    code = (
        "import os, signal, sys, pipeline.cli as cli, pipeline.commands.stages as there\n"
        f"old = there.{place}\n"
        f"def asked(*args):\n    os.kill(os.getpid(), signal.SIGTERM)\n    return old(*args)\n"
        f"there.{place} = asked\n"
        "cli.main()"
    )
    command = [sys.executable, "-c", code]
    done = rekrylov("solve", spec, "--root", tmp_path, ranks=ranks, command=command, timeout=20)
    assert done.code == 4, done.text
    assert STOPPED in done.text
    assert "Traceback" not in done.text and "PETSC ERROR" not in done.text
    assert not list(tmp_path.iterdir())


def at_any_time(rekrylov, many, tmp_path, rng, command, options):
    """A signal after main has begun: 4 or, where all was done, 0."""
    delay = 0.9 + 1.5 * rng.random()
    number = rng.choice(SIGNALS)
    root = tmp_path / str(rng.random())
    changes = ["--root", root, "--set", "samples=400"]
    process = rekrylov.start(*command, many, *changes, **options)
    time.sleep(delay)
    ended = process.process.poll() is not None
    process.send(number)
    done = process.wait(20)
    told = f"{number.name} to {command} after {delay:.3f} s: {done.code}\n{done.text}"
    early = done.code in (-number, 15, 11, 1, 143) and not root.exists()  # Python was starting
    late = records_below(root) == 50
    assert done.code == 4 or ended or early or late, told
    assert "PETSC ERROR" not in done.text, told
    process.assert_nothing_left()
    again = rekrylov(*command, many, *changes, **options)
    assert again.code == 0, told + again.text
    assert len(samples(root)) == 400


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_signals_at_any_time(rekrylov, many, tmp_path):
    for number in range(40):
        rng = random.Random(number)
        command, options = rng.choice(
            [(["run"], {}), (["run", "--ranks", "2"], {}), (["solve"], {"ranks": 2})]
        )
        at_any_time(rekrylov, many, tmp_path, rng, command, options)


# --- the handlers themselves


def restored():
    return [signal.getsignal(number) for number in SIGNALS]


def test_stoppable_sets_flags_inside_and_outside():
    before = restored()
    with interrupt.stoppable() as outer:
        with interrupt.stoppable() as inner:
            assert not inner and not outer
            signal.raise_signal(signal.SIGTERM)
            assert inner and outer
            assert restored() == before
        with pytest.raises(interrupt.Interrupted, match="stopped by SIGTERM"):
            outer.check()
    assert restored() == before
    with interrupt.stoppable() as flag:
        assert not flag
    assert restored() == before


def test_raising_is_not_swallowed():
    before = restored()
    with pytest.raises(interrupt.Interrupted, match="stopped by SIGTERM"), interrupt.raising():
        try:
            signal.raise_signal(signal.SIGTERM)
        except Exception:
            pytest.fail("swallowed")
    assert restored() == before
    with pytest.raises(interrupt.Interrupted), interrupt.raising():
        with contextlib.suppress(BaseException):  # someone does
            signal.raise_signal(signal.SIGTERM)
        with interrupt.stoppable() as flag:
            assert flag
    assert restored() == before
    with interrupt.raising(), interrupt.stoppable() as flag:
        assert not flag


def test_a_flag_within_raising():
    with interrupt.raising(), interrupt.stoppable() as flag:
        signal.raise_signal(signal.SIGINT)
        assert flag
        assert restored() == [signal.SIG_DFL, signal.SIG_DFL], "the second one ends it"


def test_the_launcher_gets_the_signals():
    with interrupt.raising():
        inside = restored()
        with interrupt.launcher_decides():
            assert restored() == [signal.SIG_DFL, signal.default_int_handler]
        assert restored() == inside


def test_ignored_signals_stay_ignored():
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupt.raising(), interrupt.stoppable() as flag:
            signal.raise_signal(signal.SIGINT)
            assert not flag
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, old)
