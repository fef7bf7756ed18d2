"""C files compiled on first use for the processor at hand, like FFCx compiles forms."""

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["KernelError", "call", "compiled"]

# Not -ffast-math: linked in, it would switch off denormal numbers in the whole process.
_FLAGS = "-O3 -march=native -std=gnu11 -fPIC -shared -fno-math-errno -fno-trapping-math"


class KernelError(RuntimeError):
    """The kernels can't be compiled here."""


@functools.cache
def compiled(folder: Path, sources: tuple[str, ...], flags: str, instead: str) -> ctypes.CDLL:
    """Return a library of C functions. Not collective; several processes may compile at once.

    The library is kept in `$XDG_CACHE_HOME/rekrylov` under a hash of source, flags, compiler and
    processor, and its size: a torn one is made again. Where that folder can't be used, the library
    is made for this process alone.

    Args:
        folder: Where the sources are.
        sources: The file to compile, then those that it includes.
        flags: Of the compiler, beside those that all libraries have.
        instead: What to do without a compiler, for the text of errors.

    Raises:
        KernelError: No C compiler, or it failed; the text has its message.
    """
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    command = [*compiler, *_FLAGS.split(), *flags.split()]
    about = [*(folder.joinpath(s).read_text() for s in sources), *command, _processor()]
    key = hashlib.sha256("\0".join(about).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rekrylov"
    main = folder / sources[0]
    name = f"{main.stem}-{key}"
    for whole in (p for p in cache.glob(f"{name}-*.so") if p.name == _named(name, p)):
        with contextlib.suppress(OSError):  # altered
            return ctypes.CDLL(str(whole))
    return _made(
        [*command, str(main), "-lm"], name, cache, f"install a C compiler, set CC, or {instead}"
    )


def _named(name: str, library: Path) -> str:
    """The name under which a library is kept; loading a torn one would end the process."""
    return f"{name}-{library.stat().st_size}.so"


def _made(command: list[str], name: str, cache: Path, cure: str) -> ctypes.CDLL:
    """Compile and load, and keep it if the cache can be written."""
    error: Exception = KernelError(name)
    for place in (cache, Path(tempfile.gettempdir())):
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=place) as folder:
                made = Path(folder) / f"{name}.so"
                _compile(command, made, cure)
                library = ctypes.CDLL(str(made))
                if place == cache:
                    made.replace(cache / _named(name, made))
                return library
        except KernelError as failed:  # perhaps for want of space
            error = failed
        except OSError as failed:
            error = KernelError(f"{name} can't be compiled: {failed}; {cure}")
    raise error


def _compile(command: list[str], library: Path, cure: str) -> None:
    done = subprocess.run(
        [*command, "-o", str(library)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip()[:500] or f"exit code {done.returncode}"
        raise KernelError(f"{shlex.join(command)} failed: {said}; {cure}")


def _processor() -> str:
    """What -march=native depends on: a cache may be shared by unlike machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("flags")), platform.machine())


def call(library: ctypes.CDLL, name: str, *arguments: Any) -> Any:
    """Call a function: arrays by address, integers as int, floats as double; returns an int.

    Arrays must be contiguous and of the type that the function takes: nothing is checked.
    """
    return getattr(library, name)(
        *(
            ctypes.c_void_p(a.__array_interface__["data"][0])
            if isinstance(a, np.ndarray)
            else ctypes.c_double(a)
            if isinstance(a, float)
            else a
            for a in arguments
        )
    )
