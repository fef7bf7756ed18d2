"""The wall clock jumps while a run goes on: by a day back, by a year forward, and back again."""

import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from inside import command
from killing import assert_equal, everything
from runs import assert_sound, folder_of, records_below, wait_until

from pipeline.dataset_folder import save_run
from pipeline.spec import load_spec
from storage import DataFolder, open_dataset, read_records

pytestmark = pytest.mark.timeout(300)

DAY, YEAR = 86_400, 365 * 86_400


class Clock:
    """A wall clock that processes see which are started with `env`."""

    def __init__(self, folder):
        library, self.file = folder / "clock.so", folder / "shift"
        source = Path(__file__).with_name("shifted_clock.c")
        command = ["gcc", "-shared", "-fPIC", "-O2", "-o", library, source]
        subprocess.run(command, check=True, capture_output=True)
        self.file.write_bytes(bytes(8))
        self.env = {"LD_PRELOAD": str(library), "SHIFTED_CLOCK": str(self.file)}

    def jump(self, seconds):
        """Shift it by so much against the true time."""
        with open(self.file, "r+b") as file:
            file.write(struct.pack("q", seconds))


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path)


def test_processes_see_the_jump(clock):
    code = (
        "import time, struct, os; from datetime import datetime, UTC\n"
        "before, tick = time.time(), time.monotonic()\n"
        "open(os.environ['SHIFTED_CLOCK'], 'r+b').write(struct.pack('q', -86400))\n"
        "assert time.time() - before < -86000 and 0 <= time.monotonic() - tick < 1000\n"
        "assert abs(datetime.now(UTC).timestamp() - time.time()) < 1000\n"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | clock.env, check=True)


def test_jumps_in_the_middle_of_a_run(rekrylov, spec, undisturbed, clock, tmp_path):
    root = tmp_path / "data"
    process = rekrylov.start("run", spec, "--root", root, "--ranks", "2", env=clock.env)
    for count, shift in ((1, -DAY), (8, YEAR), (16, -YEAR), (24, YEAR)):
        wait_until(lambda count=count: records_below(root) >= count, process, 120)
        clock.jump(shift)
    done = process.wait(180)
    assert done.code == 0, done.text
    assert_sound(root)
    assert_equal(everything(root), everything(undisturbed[0]))
    ended = [record.info["ended"] for record in read_records(folder_of(root))]
    assert max(ended) - min(ended) > DAY, "no rank saw a jump"
    assert_sane(root, done.seconds)


def assert_sane(root, whole):
    """Durations are what a stopwatch would say."""
    folder = folder_of(root)
    for record in read_records(folder):
        assert all(0 <= value <= whole for value in record.info["seconds"].values())
    seconds = open_dataset(folder.path).column("solve/seconds")
    assert (seconds >= 0).all() and seconds.sum() <= 2 * whole
    timings = json.loads(folder.manifest.read_text())["timings"]
    assert all(0 <= value <= 2 * whole for value in timings.values())


def test_the_last_run_is_the_last_one_though_the_clock_was_set_back(rekrylov, spec, root, clock):
    """What takes the folder of a data set takes the spec of its last run."""
    folder = folder_of(root)
    clock.jump(-DAY)
    done = rekrylov("sample", spec, "--root", root, "--set", "licence=new", env=clock.env)
    assert done.code == 0, done.text
    last = max(folder.runs.glob("*.yaml"))
    assert yaml.safe_load(last.read_text())["licence"] == "new"
    assert command("finalise", folder.path).code == 0
    assert json.loads(folder.manifest.read_text())["licence"] == "new"


def test_stamps_ascend_whatever_the_clock_says(tmp_path, spec):
    folder, parsed = DataFolder(tmp_path), load_spec(spec)
    folder.create()
    years = ("2027", "2025", "2026", "2025", "2031")
    for year in years:
        new = parsed.model_copy(update={"licence": year})
        save_run(folder, new, f"{year}1231T235959.999999-{year}abcd")
    (folder.runs / "of_the_user.yaml").write_text("")
    kept = sorted(folder.runs.glob("2*.yaml"))
    assert [yaml.safe_load(path.read_text())["licence"] for path in kept] == list(years)
    assert kept[1].name.startswith("20280101T000000.000000-2025")
    save_run(folder, parsed, "20320101T000000.000000-x")  # after a name that is no stamp


def test_what_a_killed_compile_left_is_found_with_a_clock_set_back(rekrylov, spec, clock, tmp_path):
    """Its time stamp is of the future then, and it would never be ten seconds old."""
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    line = ["sample", spec, "--root", tmp_path / "data"]
    assert rekrylov(*line, env=env).code == 0
    for ready in tmp_path.glob("cache/fenics/*.c.cached"):
        ready.unlink()
    clock.jump(-DAY)
    line[-1] = tmp_path / "other"
    done = rekrylov(*line, env=env | clock.env)
    assert done.code == 0, done.text
    assert "compiled forms" not in done.text, "found only after FFCx waited in vain"


def test_a_batch_of_the_future_does_not_forbid_to_remove_a_data_set(root):
    from storage.catalogue.trash import writing

    shards = folder_of(root)
    for record in list(shards.shards.glob("*.json"))[:3]:
        record.unlink()
    shards.manifest.unlink()
    assert writing(shards.path) is not None, "it is being written, as far as one can see"
    future = time.time() + YEAR
    os.utime(shards.shards, (future, future))
    assert writing(shards.path) is None
