"""A run killed at any instant is finished by the same command, and gives the same data set."""

import random
import re
import shutil
import time
from pathlib import Path

import pytest
from runs import (
    assert_same,
    assert_sound,
    committed,
    folder_of,
    records_below,
    samples,
    wait_until,
    write_spec,
)

from storage import read_records

BATCHES, SHARD = 30, 8
SEED = 20261124


@pytest.fixture(scope="session")
def longer(tmp_path_factory):
    """A spec whose stages all take some time."""
    path = tmp_path_factory.mktemp("restart") / "longer.yaml"
    changes = {"samples": BATCHES * SHARD, "storage__shard_size": SHARD}
    return write_spec(path, mesh__resolution=16, **changes)


@pytest.fixture(scope="session")
def uninterrupted(rekrylov, longer, tmp_path_factory):
    root = tmp_path_factory.mktemp("uninterrupted")
    done = rekrylov("run", longer, "--root", root)
    assert done.code == 0, done.text
    return samples(root)


EVENTS = ["shards", "order", "last", "shards", "spaces", "shards", "manifest", "start", "shards"]


def instant(rng, number, command):
    """When to kill: an event, told by the files there are, and seconds after it."""
    event = EVENTS[number % len(EVENTS)]
    if command == "solve" and event in ("last", "manifest"):
        event = "shards"  # it ends soon after the last one
    delay = {"start": 1.0, "last": 1.0, "manifest": 0.4}.get(event, 0.03) * rng.random()
    return event, delay, rng.randrange(1, BATCHES)


def has_come(event, root, count):
    """Whether the event has come."""
    if event == "start":
        return True
    if event in ("shards", "last"):
        return records_below(root) >= (BATCHES if event == "last" else count)
    names = {"spaces": "spaces.h5*", "order": "order.h5*", "manifest": "manifest.json*"}
    return any(Path(root).glob(f"*/{names[event]}"))


COMMANDS = [
    (["run"], {}),
    (["run", "--ranks", "2"], {}),
    (["solve"], {"ranks": 2}),
    (["solve", "--set", "solve.ranks_per_solve=2"], {"ranks": 2}),
]


def kill_and_finish(rekrylov, spec, root, expected, number):
    """Kill one run, finish it, and compare."""
    rng = random.Random(f"{SEED}-{number}")
    arguments, options = COMMANDS[number % len(COMMANDS)]
    line = [arguments[0], spec, "--root", root, *arguments[1:]]
    event, delay, count = instant(rng, number, arguments[0])
    process = rekrylov.start(*line, **options)
    wait_until(lambda: has_come(event, root, count), process)
    time.sleep(delay)
    process.kill()
    process.wait()
    before = committed(root)
    in_flight = len(list(root.glob("*/shards/*.h5"))) - len(before)
    print(
        f"{number}: killed {arguments} {delay:.3f} s after {event} ({count}): {len(before)} shards"
    )
    assert in_flight <= 2, "a killed rank leaves one shard without a record at most"

    done = rekrylov(*line, **options)
    assert done.code == 0, done.text
    assert solved(done) == SHARD * (BATCHES - len(before)), "only what was missing is solved"
    after = committed(root)
    assert {name: after[name] for name in before} == before, "a committed shard was made again"
    assert len(after) == BATCHES
    ids = [i for record in read_records(folder_of(root)) for i in record.ids]
    assert sorted(ids) == list(range(BATCHES * SHARD)), "missing, or twice"
    if arguments[0] == "solve":
        assert rekrylov("finalise", spec, "--root", root).code == 0
    assert_sound(root)
    assert_same(samples(root), expected)


def solved(done):
    """How many samples a run solved, from its progress."""
    found = re.findall(r"^solve: (\d+)/(\d+)", done.err, re.MULTILINE)
    return int(found[-1][1]) if found else 0


def campaign(rekrylov, spec, folder, expected, kills):
    for number in range(kills):
        root = folder / str(number)
        kill_and_finish(rekrylov, spec, root, expected, number)
        shutil.rmtree(root)


def test_killed_runs_are_finished(rekrylov, longer, uninterrupted, tmp_path):
    campaign(rekrylov, longer, tmp_path, uninterrupted, 2)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_runs_killed_many_times_are_finished(rekrylov, longer, uninterrupted, tmp_path):
    campaign(rekrylov, longer, tmp_path, uninterrupted, 60)


@pytest.mark.long
def test_killed_again_and_again(rekrylov, longer, uninterrupted, tmp_path):
    """One run that is killed after every few shards ends up the same, none solved twice."""
    known = {}
    for count in range(4, BATCHES, 8):
        process = rekrylov.start("solve", longer, "--root", tmp_path, ranks=2)
        wait_until(lambda count=count: records_below(tmp_path) >= count, process)
        process.kill()
        process.wait()
        now = committed(tmp_path)
        assert {name: now[name] for name in known} == known
        known = now
    done = rekrylov("run", longer, "--root", tmp_path)
    assert done.code == 0, done.text
    assert {name: committed(tmp_path)[name] for name in known} == known
    assert_sound(tmp_path)
    assert_same(samples(tmp_path), uninterrupted)


def test_two_runs_of_one_spec_at_once(rekrylov, longer, uninterrupted, tmp_path):
    first = rekrylov.start("run", longer, "--root", tmp_path)
    second = rekrylov.start("solve", longer, "--root", tmp_path, ranks=2)
    third = rekrylov.start("run", longer, "--root", tmp_path, "--set", "samples=100")
    assert [each.wait().code for each in (first, second, third)] == [0, 0, 0]
    done = rekrylov("run", longer, "--root", tmp_path)
    assert done.code == 0, done.text
    assert_sound(tmp_path)
    assert_same(samples(tmp_path), uninterrupted)


def test_a_finished_run_is_left_alone(rekrylov, finished, spec):
    before = committed(finished)
    done = rekrylov("run", spec, "--root", finished)
    assert done.code == 0 and solved(done) == 0
    assert committed(finished) == before
