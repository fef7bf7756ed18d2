"""Runs of the same batches take turns, whatever else is in the folder of locks."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from storage import DataFolder, StorageError
from storage.catalogue.trash import writing
from storage.claim import Claim, pack_runs
from storage.lock import SECONDS, WorkLock
from storage.owner import Owner

pytestmark = pytest.mark.timeout(120)

ALL = [(0, b) for b in range(10)]


@pytest.fixture
def folder(tmp_path):
    return DataFolder(tmp_path)


@pytest.fixture
def said():
    return []


def lock_files(folder):
    return sorted(folder.locks.glob("*")) if folder.locks.is_dir() else []


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def claim_of(folder, name="f" * 32, **changes):
    """Put a claim there as this process would write it, but for the changes."""
    claim = Claim(name, Owner.of_this_process(), 60.0, 1, pack_runs(ALL))
    told = json.loads(claim.as_json())
    told["owner"] |= changes.pop("owner", {})
    folder.locks.mkdir(exist_ok=True)
    path = folder.locks / f"{name}.json"
    path.write_text(json.dumps(told | changes))
    return path


# --- whose turn it is


def test_the_first_one_goes_first(folder, said):
    with (
        WorkLock(folder, ALL) as first,
        WorkLock(folder, ALL[5:], said.append) as second,
        WorkLock(folder, ALL[:6], said.append) as third,
    ):
        assert not first.must_wait()
        assert second.must_wait() and second.must_wait() and third.must_wait()
        assert len(lock_files(folder)) == 3
        first.__exit__(None, None, None)
        assert not second.must_wait()
        assert third.must_wait(), "the second one has batch 5"
        assert not third.must_wait(ALL[:5]), "of what is left it has none"
        second.__exit__(None, None, None)
        assert not third.must_wait()
    assert len(said) == 2, "once by each: the owners look the same here"
    assert said[0].startswith(f"waits for another run of the same samples ({os.uname().nodename}, ")
    assert f", pid {os.getpid()}, user " in said[0] and "\n" not in said[0]
    assert not folder.locks.exists(), "the last one takes the folder along"


def test_disjoint_batches_do_not_wait(folder):
    odd, even = ALL[1::2], ALL[::2]
    with WorkLock(folder, odd) as first, WorkLock(folder, even) as second:
        assert not first.must_wait() and not second.must_wait()
        with WorkLock(folder, [(1, 0), (0, 11)]) as third:
            assert not third.must_wait()


def test_without_batches_nothing_is_written(folder):
    with WorkLock(folder, []) as lock:
        assert not lock.held and not lock.must_wait()
        assert not folder.locks.exists()


def test_one_that_arrives_may_get_a_lower_number(folder, said):
    """It had looked before this one came; so it is waited for until it has its number."""
    claim_of(folder, "0" * 32, number=None)
    with WorkLock(folder, ALL, said.append) as lock:
        assert lock.must_wait() and said == []
        claim_of(folder, "0" * 32, number=1)
        assert lock.must_wait() and len(said) == 1
        claim_of(folder, "0" * 32, number=2)
        assert not lock.must_wait()


def test_equal_numbers_are_told_apart_by_token(folder):
    with WorkLock(folder, ALL) as lock:
        claim_of(folder, "0" * 32, number=1)
        claim_of(folder, "f" * 31 + "e", number=1)
        assert lock.must_wait()
        (folder.locks / f"{'0' * 32}.json").unlink()
        assert not lock.must_wait(), "the token of all f is greater than a random one"


STRESS = """
import os, random, sys, time
from storage import DataFolder
from storage.lock import WorkLock
rng, folder, busy = random.Random(sys.argv[1]), DataFolder(sys.argv[2]), sys.argv[3]
for _ in range(20):
    wanted = rng.sample([(0, b) for b in range(5)], rng.randint(1, 4))
    with WorkLock(folder, wanted, lambda text: None) as lock:
        assert lock.held, "could not be written"
        while lock.must_wait():
            time.sleep(0.003 * rng.random())
        places = [f"{busy}/{batch}" for _, batch in wanted]
        for place in places:
            os.close(os.open(place, os.O_CREAT | os.O_EXCL))  # fails if another one is at it
        time.sleep(0.003 * rng.random())
        for place in places:
            os.unlink(place)
"""


def test_no_two_are_at_one_batch(folder, tmp_path):
    busy = tmp_path / "busy"
    busy.mkdir()
    command = [sys.executable, "-c", STRESS]
    runs = [subprocess.Popen([*command, str(n), folder.path, busy]) for n in range(4)]
    assert [run.wait(100) for run in runs] == [0] * 4
    assert lock_files(folder) == []


# --- owners that are gone, stopped, busy or elsewhere

HOLD = """
import sys, time
from storage import DataFolder
from storage.lock import WorkLock
with WorkLock(DataFolder(sys.argv[1]), [(0, b) for b in range(10)]) as lock:
    print("held", flush=True)
    if sys.argv[2] == "compute":
        sum(range(10**12))  # holds the interpreter as a long call of a solver does: no beat
    while lock.held:
        time.sleep(0.01)
print("lost", flush=True)
"""


@pytest.fixture
def holder(folder):
    started = []

    def start(what="sleep", seconds="60"):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, folder.path, what],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, SECONDS: seconds},
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_killed_owner_is_noticed_at_once(folder, holder, said):
    process = holder()
    with WorkLock(folder, ALL, said.append) as lock:
        assert lock.must_wait()
        process.kill()
        until(lambda: not lock.must_wait(), 30)  # nobody has waited for it: a zombie
        assert len(lock_files(folder)) == 1
    assert said[-1].startswith("takes over from") and said[-1].endswith("whose process has ended")


def test_what_killed_owners_left_is_cleared(folder, holder):
    process = holder()
    temporary = folder.locks / f"x.json.{os.uname().nodename}.{process.pid}.0123abcd.tmp"
    temporary.write_bytes(b"")
    process.kill()
    process.wait()
    assert len(lock_files(folder)) == 2
    with WorkLock(folder, []):
        assert not folder.locks.exists()


def test_a_stopped_owner_is_dead_after_some_time(folder, holder, said):
    process = holder(seconds="1")
    process.send_signal(signal.SIGSTOP)
    start = time.monotonic()
    with WorkLock(folder, ALL, said.append) as lock:
        while lock.must_wait():
            time.sleep(0.02)
        assert time.monotonic() - start >= 1
        assert said[-1].endswith("which gave no sign of life for 1 s")
        process.send_signal(signal.SIGCONT)
        assert process.communicate(timeout=60)[0] == "lost\n"
        assert process.returncode == 0
        assert lock.held and len(lock_files(folder)) == 1, "it left this one's file alone"


def test_an_owner_that_computes_is_alive(folder, holder):
    process = holder("compute", seconds="1")
    path, before = lock_files(folder)[0], lock_files(folder)[0].stat().st_mtime_ns
    with WorkLock(folder, ALL) as lock:
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            assert lock.must_wait()
            time.sleep(0.02)
        assert path.stat().st_mtime_ns == before, "it did not beat"
        process.kill()
        until(lambda: not lock.must_wait(), 30)


def test_a_pid_that_another_process_has_now(folder):
    claim_of(folder, owner={"started": Owner.of_this_process().started + 1})
    with WorkLock(folder, ALL) as lock:
        assert not lock.must_wait()


ELSEWHERE = {"host": "node17", "place": "another machine", "pid": 1}


def test_a_dead_owner_of_another_host(folder, said):
    path = claim_of(folder, owner=ELSEWHERE, seconds=0.5)
    start = time.monotonic()
    with WorkLock(folder, ALL, said.append) as lock:
        assert lock.must_wait()
        until(lambda: not lock.must_wait(), 30)
        assert time.monotonic() - start >= 0.5
    assert not path.exists()
    assert "(node17, pid 1, " in said[0] and "no sign of life for 0.5 s" in said[1]


def test_a_live_owner_of_another_host_whatever_its_clock_says(folder, monkeypatch):
    """Any change is a sign of life; only this machine's steady clock counts."""
    path = claim_of(folder, owner=ELSEWHERE, seconds=0.4)
    with WorkLock(folder, ALL) as lock, monkeypatch.context() as patch:
        patch.setattr(time, "time", None)
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            jump = random.choice([0, 1, 10**9, time.monotonic_ns(), 4 * 10**18])
            os.utime(path, ns=(jump, jump + random.randrange(10**6)))
            assert lock.must_wait()
        os.utime(path, ns=(4 * 10**18, 4 * 10**18))  # a clock of the year 2096, that stands still
        until(lambda: not lock.must_wait(), 30)


def test_nobody_dies_because_this_process_was_stopped(folder):
    claim_of(folder, owner=ELSEWHERE, seconds=0.6)
    with WorkLock(folder, ALL) as lock:
        assert lock.must_wait()
        time.sleep(0.8)  # both were asleep, say
        assert lock.must_wait()


def test_a_data_set_that_is_being_solved_is_not_deleted(folder, holder):
    process = holder()
    assert "a run is solving it (" in writing(folder.path)
    assert f"pid {process.pid}, " in writing(folder.path)
    process.kill()
    process.wait()
    claim_of(folder, owner=ELSEWHERE)
    assert "(node17, pid 1, " in writing(folder.path)
    claim_of(folder, owner={"started": 1})
    (folder.locks / f"{'e' * 32}.json").write_text("{")
    assert writing(folder.path) is None


# --- what may go wrong with files


def test_an_owner_beats(folder, monkeypatch):
    monkeypatch.setenv(SECONDS, "0.3")
    with WorkLock(folder, ALL):
        (path,) = lock_files(folder)
        before = path.stat().st_mtime_ns
        until(lambda: path.stat().st_mtime_ns > before)
        content = json.loads(path.read_text())
        assert content["seconds"] == 0.3 and content["batches"] == [[0, 0, 9]]


def test_a_file_that_another_removed(folder, monkeypatch):
    monkeypatch.setenv(SECONDS, "0.3")
    with WorkLock(folder, ALL) as lock:
        (path,) = lock_files(folder)
        path.unlink()
        until(lambda: not lock.held)
        with WorkLock(folder, ALL) as other:
            assert not lock.must_wait() and not other.must_wait()
            lock.__exit__(None, None, None)
            assert len(lock_files(folder)) == 1
    assert not folder.locks.exists()


def spoil(place, number):
    """Write something that is no claim; what may be waited for without end is there, too."""
    good = json.loads(Claim("0" * 32, Owner.of_this_process(), 60.0, 1, [(0, 0, 9)]).as_json())
    contents = [
        b"",
        b"{",
        b"null",
        b"[]",
        b"3",
        b'"x"',
        b"\xff\xfe",
        b"[" * 10**5,
        b"9" * 10**4,
        b"{}",
        *(json.dumps(good | change).encode() for change in CHANGES),
    ]
    if number < len(contents):
        place.write_bytes(contents[number])
        return True
    kind = number - len(contents)
    if kind == 0:
        os.mkfifo(place)
    elif kind == 1:
        place.mkdir()
    elif kind == 2:
        place.symlink_to(place)
    elif kind == 3:
        place.symlink_to("/dev/zero")
    elif kind == 4:
        place.write_bytes(b"")
        os.truncate(place, 1 << 40)
    return kind <= 4


OWNER = dict.fromkeys(("host", "place", "user", "command", "since"), "x")
CHANGES = (
    *({"number": number} for number in ("1", True, 1.5)),
    *({"seconds": seconds} for seconds in (0, -1.0, 1e300, float("nan"), None, True, "60")),
    *({"batches": runs} for runs in (None, {}, [[0, 0]], [[0, 0, "9"]], ["009"], [[0, [], 9]])),
    *({"owner": owner} for owner in (None, [], {"host": "x"}, OWNER)),
    {"owner": OWNER | {"pid": -1, "started": 0}},
    {"owner": OWNER | {"pid": 2**70, "started": 0}},
    {"owner": OWNER | {"pid": 1, "started": 0, "user": 7}},
)


def test_files_that_are_no_claims(folder):
    folder.locks.mkdir()
    count = 0
    while spoil(folder.locks / f"{count:032x}.json", count):
        count += 1
    (folder.locks / "notes.txt").write_text("mine")
    before = lock_files(folder)
    assert count > 30
    with WorkLock(folder, ALL) as lock:
        assert lock.held and not lock.must_wait()
    assert lock_files(folder) == before, "what isn't ours is left alone"


def test_what_others_wrote_is_shown_plainly(folder, said):
    command = "run \x1b[2J\r\n\u202e" + "x" * 10**4
    claim_of(folder, owner={"command": command})
    with WorkLock(folder, ALL, said.append) as lock:
        assert lock.must_wait()
    assert said[0].isprintable() and len(said[0]) < 600


def test_the_folder_may_go_while_another_arrives(folder):
    def come_and_go(number):
        for _ in range(400):
            with WorkLock(folder, [(number, 0)]) as lock:
                if not lock.held:
                    return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(come_and_go, range(2)))
    assert not folder.locks.exists()


@pytest.mark.parametrize("state", ["read-only", "full", "gone", "a file"])
def test_a_place_that_can_not_be_written(request, tmp_path, state):
    """The lock is left out, and nobody is waited for."""
    if state in ("read-only", "full"):
        place = request.getfixturevalue("disk")("256k")
        folder = DataFolder(place.path)
        claim_of(folder)
        if state == "read-only":
            place.remount("ro")
        else:
            with suppress(OSError), open(place.path / "filler", "wb", buffering=0) as filler:
                while True:
                    filler.write(b"x" * 512)
    elif state == "gone":
        folder = DataFolder(tmp_path / "gone")
    else:
        folder = DataFolder(tmp_path)
        folder.locks.write_text("")
    with WorkLock(folder, ALL) as lock:
        assert not lock.held and not lock.must_wait()
    assert not list(folder.path.rglob("*.tmp"))


def test_a_full_disk_does_not_stop_the_beats(disk, monkeypatch):
    monkeypatch.setenv(SECONDS, "0.3")
    place = disk("256k")
    folder = DataFolder(place.path)
    with WorkLock(folder, ALL) as lock:
        with suppress(OSError), open(place.path / "filler", "wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 512)
        (path,) = lock_files(folder)
        before = path.stat().st_mtime_ns
        until(lambda: path.stat().st_mtime_ns > before)
        assert lock.held


def test_a_forked_copy_gives_nothing_back(folder):
    with WorkLock(folder, ALL) as lock:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside a thread
            child = os.fork()
        if child == 0:
            lock.__exit__(None, None, None)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert len(lock_files(folder)) == 1


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf", "1e9"])
def test_a_limit_that_is_no_number_of_seconds(folder, monkeypatch, text):
    monkeypatch.setenv(SECONDS, text)
    with pytest.raises(StorageError, match=f"^{SECONDS}: got '{text}'; expected seconds, above 0"):
        WorkLock(folder, ALL)


@pytest.mark.parametrize("pieces", [3, 3000])
def test_claims_are_short_and_claim_all(pieces):
    rng = random.Random(pieces)
    batches = sorted({(rng.randrange(3), rng.randrange(4 * pieces)) for _ in range(pieces)})
    runs = pack_runs(batches)
    claim = Claim("", Owner.of_this_process(), 1.0, 1, runs)
    assert all(claim.overlaps([batch]) for batch in batches)
    assert not claim.overlaps([(3, 0), (0, 4 * pieces)])
    assert len(runs) <= 1000
    if pieces == 3:
        inside = [(s, b) for s, first, last in runs for b in range(first, last + 1)]
        assert inside == batches


def test_a_claim_of_a_large_data_set_is_read(folder):
    batches = [(s, 2 * b) for s in range(3) for b in range(5000)]
    with WorkLock(folder, batches), WorkLock(folder, [(2, 9998)]) as second:
        assert second.must_wait()
        assert sum(path.stat().st_size for path in lock_files(folder)) < 5000
