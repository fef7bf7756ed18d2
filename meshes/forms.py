"""Compiled forms, and a mended cache of compiled code.

FFCx takes a form's `.c` file for the lock of a compile and `.c.cached` for its end. A compile that
is killed leaves the first without the second: each later process waits ten seconds and fails.
"""

import fcntl
import os
import time
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import ufl
from dolfinx import fem
from dolfinx.jit import get_options

__all__ = ["compiled_form", "mend_cache"]

_STALE_SECONDS = 10.0  # after which FFCx gives a compile up


def compiled_form(form: ufl.Form) -> fem.Form:
    """Return the form, compiled or from the cache, which is mended if need be. Collective."""
    _mend_once()
    try:
        return fem.form(form)
    except (TimeoutError, RuntimeError) as error:  # the second with several ranks
        if "timed out" not in str(error) and "on rank 0" not in str(error):
            raise
    mend_cache()
    return fem.form(form)


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
    if not any(map(_is_left_behind, folder.glob("libffcx_*.c"))):
        return []
    with open(folder / "mend.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # or two would remove each other's new files
        left = [source for source in folder.glob("libffcx_*.c") if _is_left_behind(source)]
        in_use = _command_lines() if left else ""
        left = [source for source in left if source.stem not in in_use]
        for source in left:
            _ready(source).unlink(missing_ok=True)
            source.unlink(missing_ok=True)
    return left


def _is_left_behind(source: Path) -> bool:
    try:
        if time.time() - source.stat().st_mtime < _STALE_SECONDS:
            return False
    except FileNotFoundError:
        return False
    modules = source.parent.glob(f"{source.stem}.*.so")
    return not (_ready(source).exists() and any(module.stat().st_size for module in modules))


def _ready(source: Path) -> Path:
    return source.with_suffix(".c.cached")


def _command_lines() -> str:
    """The command lines of all processes but this one."""
    processes = psutil.process_iter(["pid", "cmdline"])
    lines: list[Any] = [p.info["cmdline"] or [] for p in processes if p.info["pid"] != os.getpid()]
    return "\n".join(" ".join(line) for line in lines)
