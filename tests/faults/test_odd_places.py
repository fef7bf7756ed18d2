"""Places and environments that are odd: each works or is told in one line."""

import pytest
from inside import command, told_once
from runs import folder_of, records_below, wait_until

pytestmark = pytest.mark.timeout(240)


def test_a_terminal_without_the_letters(rekrylov):
    """Tables and equations have letters that no ASCII log has."""
    done = rekrylov("families", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.code == 0, done.text
    assert "darcy" in done.out and "?" in done.out


def test_roots_that_are_no_folders(spec, tmp_path):
    file, nowhere = tmp_path / "file", tmp_path / "link"
    file.write_text("")
    nowhere.symlink_to(tmp_path / "nowhere")
    told_once(command("sample", spec, "--root", file), 2, str(file), "Not a directory")
    told_once(command("sample", spec, "--root", nowhere), 2, str(nowhere), "is missing")


@pytest.mark.long
@pytest.mark.parametrize("what", ["renamed", "without shards/"])
def test_a_folder_that_changes_under_way(rekrylov, spec, tmp_path, what):
    """What was moved away is left alone; the same command makes what is missing."""
    root = tmp_path / "data"
    line = ["solve", spec, "--root", root]
    process = rekrylov.start(*line, "--set", "samples=4000")
    wait_until(lambda: records_below(root) > 3, process, 120)
    folder = folder_of(root)
    moved = folder.path if what == "renamed" else folder.shards
    moved.rename(tmp_path / "moved")
    done = process.wait(60)
    assert done.code == 2, done.text
    assert len(done.messages) == 1 and "its folder is missing" in done.messages[0]
    before = sorted(path.name for path in (tmp_path / "moved").rglob("*"))
    done = rekrylov(*line, timeout=120)
    assert done.code == 0, done.text
    assert sorted(path.name for path in (tmp_path / "moved").rglob("*")) == before
