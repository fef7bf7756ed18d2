"""The C kernels, compiled on first use for the processor at hand, like FFCx compiles forms."""

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
from numpy.typing import DTypeLike, NDArray

__all__ = ["LANES", "KernelError", "address", "aligned", "call", "kernels"]

LANES = 16
"""Systems in a block: their single-precision numbers fill one 512-bit register."""

_SOURCES = (
    "block.c",
    "symbolic.c",
    "interleaved.c",
    "factor.c",
    "multigrid.c",
)
# Not -ffast-math: linked in, it would switch off denormal numbers in the whole process.
_FLAGS = (
    "-O3 -march=native -std=gnu11 -fPIC -shared -fno-math-errno -fno-trapping-math "
    "-fno-signed-zeros -fassociative-math -freciprocal-math"
)

_CURE = "install a C compiler, set CC, or take a strategy with block 1"


class KernelError(RuntimeError):
    """The kernels can't be compiled here."""


@functools.cache
def kernels() -> ctypes.CDLL:
    """Return the compiled kernels. Not collective; several processes may compile at once.

    The library is kept in `$XDG_CACHE_HOME/rekrylov` under a hash of source, flags, compiler and
    processor, and gets its name only when it is complete.

    Raises:
        KernelError: No C compiler, or it failed; the text has its message.
    """
    here = Path(__file__).parent
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    about = [*(here.joinpath(s).read_text() for s in _SOURCES), _FLAGS, *compiler, _processor()]
    key = hashlib.sha256("\0".join(about).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rekrylov"
    library = cache / f"block-{key}.so"
    if not library.exists():
        _compile([*compiler, *_FLAGS.split(), str(here / "block.c"), "-lm"], library)
    try:
        found = ctypes.CDLL(str(library))
    except OSError as error:
        raise KernelError(f"{library} can't be loaded ({error}): delete it and run again") from None
    found.supernodes.restype = ctypes.c_int
    return found


def _compile(command: list[str], library: Path) -> None:
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            made = Path(folder) / library.name
            done = subprocess.run(
                [*command, "-o", str(made)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                said = done.stderr.strip()[:500] or f"exit code {done.returncode}"
                raise KernelError(f"{shlex.join(command)} failed: {said}; {_CURE}")
            made.replace(library)
    except OSError as error:
        raise KernelError(
            f"the kernels of solvers/block can't be compiled: {error}; {_CURE}"
        ) from None


def _processor() -> str:
    """What -march=native depends on: a cache may be shared by unlike machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("flags")), platform.machine())


def aligned(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Zeros that start at a multiple of 128 bytes, as vector registers want them."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + 128, dtype=np.uint8)
    offset = -memory.ctypes.data % 128
    return memory[offset : offset + size].view(dtype).reshape(shape)


def address(array: NDArray[Any]) -> ctypes.c_void_p:
    """The address of an array that the caller keeps alive."""
    return ctypes.c_void_p(array.__array_interface__["data"][0])


def call(name: str, *arguments: Any) -> Any:
    """Call a kernel: arrays by address, integers as int, floats as double."""
    return getattr(kernels(), name)(
        *(
            address(a)
            if isinstance(a, np.ndarray)
            else ctypes.c_double(a)
            if isinstance(a, float)
            else a
            for a in arguments
        )
    )
