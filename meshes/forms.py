"""Compiled forms, and a mended cache of compiled code.

FFCx takes a form's `.c` file for the lock of a compile and `.c.cached` for its end. A compile that
is killed leaves the first without the second: each later process waits ten seconds and fails.
"""

import fcntl
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TextIO

import psutil
import ufl
from cffi import VerificationError
from dolfinx import fem
from dolfinx.jit import get_options

__all__ = ["compiled_expression", "compiled_form", "mend_cache"]

_STALE_SECONDS = 10.0  # after which FFCx gives a compile up
_CACHE_ERRORS = (OSError, ImportError, VerificationError, RuntimeError)  # the last: several ranks
_own_cache: list[tempfile.TemporaryDirectory[str]] = []
"""Of this process alone, once the common one was found to be unusable."""


def compiled_form(form: ufl.Form) -> fem.Form:
    """Return the form, compiled or from the cache, which is mended if need be. Collective."""
    return _mended(lambda options: fem.form(form, jit_options=options))


def compiled_expression(value: Any, points: Any) -> fem.Expression:
    """Return the expression at reference points, compiled as forms are. Collective."""
    return _mended(lambda options: fem.Expression(value, points, jit_options=options))


def _mended[T](compiled: Callable[[dict[str, Any] | None], T]) -> T:
    """Compile; mend the cache if that fails, and do without it if that fails again.

    It may be deleted under way, be full or read-only, or wait for a compile that hangs. The ranks
    of a group fail together, so they take the same way.
    """
    _mend_once()
    for _ in range(0 if _own_cache else 2):
        try:
            return compiled(None)
        except _CACHE_ERRORS as error:
            if isinstance(error, RuntimeError) and "JIT" not in str(error):
                raise
            why = " ".join(str(error).split())[:200]
        mend_cache()
    if not _own_cache:
        _own_cache.append(tempfile.TemporaryDirectory(prefix="rekrylov-forms-"))
        print(
            f"{get_options()['cache_dir']}: cannot be used for compiled forms ({why}); this "
            "process compiles its own: set XDG_CACHE_HOME to a folder that can be written",
            file=sys.stderr,
            flush=True,
        )
    return compiled({"cache_dir": _own_cache[0].name})


@cache
def _mend_once() -> None:
    mend_cache()


def mend_cache(folder: Path | None = None) -> list[Path]:
    """Remove what killed compiles left behind; returns the `.c` files that were removed.

    A file younger than ten seconds, or named by a running process (the compiler), stays. Safe
    with several processes at once on one machine. Not collective.

    Args:
        folder: The cache; by default that of DOLFINx.
    """
    folder = Path(get_options()["cache_dir"]) if folder is None else folder
    left: list[Path] = []
    with suppress(OSError):  # read-only, or not a folder: the compile says so
        if _left_behind(folder):
            with open(folder / "mend.lock", "w") as lock:
                if _held(lock):  # or two would remove each other's new files
                    left = _removed(folder)
    return left


def _held(lock: TextIO) -> bool:
    """Take the lock; False if another process, perhaps a stopped one, keeps it."""
    end = time.monotonic() + _STALE_SECONDS
    while time.monotonic() < end:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


def _removed(folder: Path) -> list[Path]:
    """Remove what is left behind, and say what that was."""
    left = _left_behind(folder)
    in_use = _command_lines(folder) if left else ""
    left = [source for source in left if source.stem not in in_use]
    for source in left:
        for path in (_ready(source), *folder.glob(f"{source.stem}.*so"), source):
            path.unlink(missing_ok=True)
    return left


def _left_behind(folder: Path) -> list[Path]:
    """The sources without a whole module; the folder is listed once, it may hold thousands."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        files = {entry.name: entry for entry in entries}
    modules = {name.partition(".")[0] for name in files if name.endswith(".so")}
    open_ = [
        folder / name
        for name in files
        if name.startswith("libffcx_") and name.endswith(".c")
        if f"{name}.cached" not in files or name.removesuffix(".c") not in modules
    ]
    torn = [n for n in files if n.endswith(".so") and not _is_whole(folder / n)]
    open_ += [folder / f"{name.partition('.')[0]}.c" for name in torn]
    return [source for source in dict.fromkeys(open_) if _is_stale(source)]


def _is_whole(module: Path) -> bool:
    """Whether a library ends where its ELF header says: loading a torn one ends the process."""
    try:
        with open(module, "rb") as file:
            header, size = file.read(64), os.fstat(file.fileno()).st_size
    except OSError:
        return True  # gone: nothing to mend
    if len(header) < 64 or header[:5] != b"\x7fELF\x02":
        return sys.platform != "linux" and size > 0
    sections, entry, count = struct.unpack_from("<Q10xHH", header, 40)
    return bool(size >= sections + entry * count)


def _is_stale(source: Path) -> bool:
    try:
        age = time.time() - source.stat().st_mtime
        return abs(age) >= _STALE_SECONDS  # of the future: a clock was set back
    except FileNotFoundError:
        return False


def _ready(source: Path) -> Path:
    return source.with_suffix(".c.cached")


def _command_lines(folder: Path) -> str:
    """The command lines of all processes but this one that are at work in a folder."""
    lines = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        line = " ".join(process.info["cmdline"] or [])
        here = str(folder) in line or process.info["cwd"] == os.path.realpath(folder)
        if here and process.info["pid"] != os.getpid():
            lines.append(line)
    return "\n".join(lines)
