"""Two runs of one data set: what both would solve is solved once, unless one of them is dead."""

import json
import signal
import time
from contextlib import suppress

import psutil
import pytest
from runs import assert_sound, committed, folder_of, records_below, samples, wait_until, write_spec

from storage import check_dataset

pytestmark = pytest.mark.timeout(300)

SAMPLES = 240
WAITS = "solve: waits for another run of the same samples"
TAKES_OVER = "solve: takes over from another run"


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A spec that takes a second or two to solve."""
    path = tmp_path_factory.mktemp("two-runs") / "shared.yaml"
    return write_spec(path, samples=SAMPLES, mesh__resolution=16, storage__shard_size=8)


@pytest.fixture
def stopped(rekrylov, shared, tmp_path):
    """Start a run and stop all its processes once it has solved something; they end with it."""
    started = []

    def start(*arguments, ranks=None, env=None):
        process = rekrylov.start(*arguments, "--root", tmp_path, ranks=ranks, env=env)
        started.append(process)
        wait_until(lambda: records_below(tmp_path) > 2, process)
        send(process, signal.SIGSTOP)
        assert process.process.poll() is None and len(committed(tmp_path)) < SAMPLES // 8
        return process

    yield start
    for process in started:
        process.kill()
        with suppress(ValueError):  # it has been waited for
            process.process.communicate()


def send(process, number):
    for each in process.alive():
        with suppress(psutil.Error):
            each.send_signal(number)


def claims(root):
    """What the files of locks say; one that is being written says nothing yet."""
    found = []
    for path in root.glob("*/locks/*.json"):
        with suppress(FileNotFoundError, ValueError):
            found.append(json.loads(path.read_text()))
    return found


def wait_for_its_place(root, process):
    """Wait until a second run has a number, and so has to wait for the first."""
    wait_until(lambda: sum(claim["number"] is not None for claim in claims(root)) == 2, process)


def solved(done):
    """How many samples a run solved, from its progress."""
    lines = [line for line in done.text.splitlines() if line.startswith("solve: ")]
    totals = [line.split()[1].strip(",").split("/") for line in lines if "/" in line.split()[1]]
    return int(totals[-1][0]) if totals else 0


@pytest.mark.parametrize("ranks", [1, 2])
def test_started_together_they_solve_all_once(rekrylov, shared, tmp_path, ranks):
    first = rekrylov.start("run", shared, "--root", tmp_path)
    second = rekrylov.start("run", shared, "--root", tmp_path, "--ranks", ranks)
    ends = [first.wait(120), second.wait(120)]
    assert [done.code for done in ends] == [0, 0], ends
    assert sum(solved(done) for done in ends) == SAMPLES, ends
    assert sum(WAITS in done.text for done in ends) <= 1
    assert_sound(tmp_path)
    assert sorted(samples(tmp_path)) == list(range(SAMPLES))
    assert not folder_of(tmp_path).locks.exists()


def test_a_stopped_run_is_taken_for_dead_and_may_go_on(rekrylov, shared, stopped, tmp_path):
    first = stopped("solve", shared, ranks=2, env={"REKRYLOV_LOCK_SECONDS": "2"})
    before = committed(tmp_path)
    second = rekrylov("run", shared, "--root", tmp_path)
    assert second.code == 0, second.text
    assert WAITS in second.out and TAKES_OVER in second.out
    assert "which gave no sign of life for 2 s" in second.out
    assert solved(second) == SAMPLES - 8 * len(before)
    after = committed(tmp_path)
    assert {name: after[name] for name in before} == before
    send(first, signal.SIGCONT)
    done = first.wait()
    first.assert_nothing_left()
    assert done.code == 0, done.text
    assert committed(tmp_path) == after, "the first writer wins"
    assert_sound(tmp_path)
    checked = rekrylov("check", folder_of(tmp_path).path)
    assert checked.code == 0, checked.text
    assert not folder_of(tmp_path).locks.exists()


def test_one_that_waits_goes_on_when_the_other_is_killed(rekrylov, shared, stopped, tmp_path):
    first = stopped("run", shared)
    second = rekrylov.start("solve", shared, "--root", tmp_path, ranks=2)
    wait_for_its_place(tmp_path, second)
    left = SAMPLES - 8 * len(committed(tmp_path))
    first.kill()
    done = second.wait()
    assert done.code == 0, done.text
    assert f"{TAKES_OVER} (" in done.out and "whose process has ended" in done.out
    assert solved(done) == left
    assert sorted(samples(tmp_path)) == list(range(SAMPLES))


def test_one_that_waits_can_be_stopped(rekrylov, shared, stopped, tmp_path):
    """And it leaves the cores to others: ranks that wait in MPI would keep theirs busy."""
    stopped("run", shared)
    second = rekrylov.start("solve", shared, "--root", tmp_path, ranks=2)
    wait_for_its_place(tmp_path, second)
    before, busy, processes = committed(tmp_path), 0, second.alive()
    for _ in range(40):
        busy += any(each.status() == psutil.STATUS_RUNNING for each in processes)
        time.sleep(0.05)
    assert busy < 20, "a core is kept busy"
    second.send(signal.SIGTERM)
    done = second.wait()
    second.assert_nothing_left()
    assert done.code == 4, done.text
    assert WAITS in done.out and "Traceback" not in done.text
    assert len(claims(tmp_path)) == 1, done.text
    assert committed(tmp_path) == before


def test_parts_do_not_wait_for_each_other(rekrylov, shared, stopped, tmp_path):
    stopped("solve", shared, "--part", "1/2")
    done = rekrylov("solve", shared, "--root", tmp_path, "--part", "2/2")
    assert done.code == 0, done.text
    assert WAITS not in done.text and solved(done) == SAMPLES // 2
    assert len(claims(tmp_path)) == 1
    findings = check_dataset(folder_of(tmp_path).path)
    assert not [finding for finding in findings if "locks" in finding.location]


def test_a_part_waits_until_its_batches_are_there(rekrylov, shared, stopped, tmp_path):
    """The run that solves them goes on to others: it need not end first."""
    first = stopped("solve", shared)
    number = records_below(tmp_path) + 3
    second = rekrylov.start("solve", shared, "--root", tmp_path, "--part", f"{number}/30")
    wait_for_its_place(tmp_path, second)
    send(first, signal.SIGCONT)
    wait_until(lambda: records_below(tmp_path) > number, first)
    send(first, signal.SIGSTOP)
    done = second.wait()
    assert done.code == 0, done.text
    assert WAITS in done.text and solved(done) == 0


def test_a_bad_limit_is_refused_on_all_ranks(rekrylov, shared, tmp_path):
    env = {"REKRYLOV_LOCK_SECONDS": "soon"}
    done = rekrylov("solve", shared, "--root", tmp_path, ranks=2, env=env)
    assert done.code == 2, done.text
    (line,) = done.messages
    assert "REKRYLOV_LOCK_SECONDS: got 'soon'; expected seconds" in line
