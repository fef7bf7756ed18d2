"""Processes that are stopped and go on, and locks that a stopped process keeps."""

import fcntl
import os
import time
from contextlib import suppress

import psutil
import pytest
from killing import assert_each_once
from runs import assert_sound, records_below, wait_until

from storage import StorageError, append_segment, order, read_order

pytestmark = pytest.mark.timeout(300)


def test_a_lock_that_a_stopped_process_keeps_is_told(tmp_path, monkeypatch):
    """The kernel's lock goes with a process that dies, not with one that is stopped."""
    monkeypatch.setattr(order, "_PATIENCE", 0.2)
    path = tmp_path / "order.h5"
    holder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(StorageError, match=r"order.h5: another process has kept it .* is stopped"):
        append_segment(path, [0, 1, 2])
    assert not path.exists()
    os.close(holder)
    append_segment(path, [0, 1, 2])
    assert [segment.ids.tolist() for segment in read_order(path)] == [[0, 1, 2]]


@pytest.mark.parametrize("whom", [pytest.param("all", marks=pytest.mark.long), "a rank"])
def test_a_run_that_is_stopped_for_a_while_goes_on(rekrylov, spec, tmp_path, whom):
    """Neither the launcher nor a rank takes the silence of the others for their end."""
    root = tmp_path / "data"
    line = ["run", spec, "--root", root, "--ranks", "2"]
    process = rekrylov.start(*line)
    wait_until(lambda: records_below(root) > 3, process, 120)
    found = process.alive()
    if whom == "a rank":
        found = [each for each in found if "PMI_RANK" in each.environ()][-1:]
    assert found
    for act, seconds in ((psutil.Process.suspend, 4), (psutil.Process.resume, 0)):
        for each in found:
            with suppress(psutil.Error):
                act(each)
        time.sleep(seconds)  # the launcher gives a run up three seconds after its last child
    done = process.wait(200)
    assert done.code == 0, done.text
    assert_each_once(root)
    assert_sound(root)
