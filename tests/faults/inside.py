"""The command line in this process, where many commands are tried."""

import io
import signal
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest

from pipeline.cli import main
from storage.handles import close_handles


@dataclass
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def messages(self):
        return [line for line in self.err.splitlines() if line.startswith("rekrylov")]


def command(*arguments):
    """Run a command of `rekrylov`."""
    out, err = io.StringIO(), io.StringIO()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
    finally:
        close_handles()
        for number, handler in before.items():
            signal.signal(number, handler)
    return Said(ended.value.code, out.getvalue(), err.getvalue())


def told_once(said, code, *parts):
    """The exit code, one message with all the parts, no traceback."""
    assert said.code == code, said
    assert len(said.messages) == 1, said
    assert all(part in said.messages[0] for part in parts), said
    assert "Traceback" not in said.err
