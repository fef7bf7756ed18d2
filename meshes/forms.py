"""Compiled forms, and a mended cache of compiled code.

FFCx takes a form's `.c` file for the lock of a compile and `.c.cached` for its end. A compile that
is killed leaves the first without the second: each later process waits ten seconds and fails.
"""

import fcntl
import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import ufl
from dolfinx import fem
from dolfinx.jit import get_options

__all__ = ["compiled_expression", "compiled_form", "mend_cache"]

_STALE_SECONDS = 10.0  # after which FFCx gives a compile up


def compiled_form(form: ufl.Form) -> fem.Form:
    """Return the form, compiled or from the cache, which is mended if need be. Collective."""
    return _mended(lambda: fem.form(form))


def compiled_expression(value: Any, points: Any) -> fem.Expression:
    """Return the expression at reference points, compiled as forms are. Collective."""
    return _mended(lambda: fem.Expression(value, points))


def _mended[T](compiled: Callable[[], T]) -> T:
    _mend_once()
    try:
        return compiled()
    except (TimeoutError, RuntimeError) as error:  # the second with several ranks
        if "timed out" not in str(error) and "on rank 0" not in str(error):
            raise
    mend_cache()
    return compiled()


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
    if not _left_behind(folder):
        return []
    with open(folder / "mend.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # or two would remove each other's new files
        left = _left_behind(folder)
        in_use = _command_lines() if left else ""
        left = [source for source in left if source.stem not in in_use]
        for source in left:
            _ready(source).unlink(missing_ok=True)
            source.unlink(missing_ok=True)
    return left


def _left_behind(folder: Path) -> list[Path]:
    """The sources without a finished module; the folder is listed once, it may hold thousands."""
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
    empty = [folder / n for n, entry in files.items() if n.endswith(".so") and not _size(entry)]
    open_ += [folder / f"{module.name.partition('.')[0]}.c" for module in empty]
    return [source for source in dict.fromkeys(open_) if _is_stale(source)]


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return 1  # gone: nothing to mend


def _is_stale(source: Path) -> bool:
    try:
        return time.time() - source.stat().st_mtime >= _STALE_SECONDS
    except FileNotFoundError:
        return False


def _ready(source: Path) -> Path:
    return source.with_suffix(".c.cached")


def _command_lines() -> str:
    """The command lines of all processes but this one."""
    processes = psutil.process_iter(["pid", "cmdline"])
    lines: list[Any] = [p.info["cmdline"] or [] for p in processes if p.info["pid"] != os.getpid()]
    return "\n".join(" ".join(line) for line in lines)
