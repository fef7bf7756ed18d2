"""Progress lines: a rate only where it means something, and marks that a parent reads back."""

import time

from pipeline.progress import MARKED, parse_mark, progress


def test_no_rate_over_no_time(capsys):
    with progress("solve", 48) as task:
        task(48, "2 failed")
    assert capsys.readouterr().err == "solve: 48/48 2 failed\n"


def test_a_rate_over_some_time(capsys):
    with progress("solve", 4) as task:
        time.sleep(0.2)
        task(4)
    line = capsys.readouterr().err
    assert line.startswith("solve: 4/4, ") and 0 < float(line.split(", ")[1][:-2]) <= 20


def test_marks_are_read_back(capsys, monkeypatch):
    monkeypatch.setenv(MARKED, "1")
    with progress("solve", 48) as task:
        task(48)
    assert parse_mark(capsys.readouterr().err) == ("solve", 48, 48)
    assert parse_mark("solve: 48/48") is None
