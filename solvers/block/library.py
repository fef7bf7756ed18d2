"""The C kernels of blocks."""

import ctypes
import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from solvers import compiled
from solvers.compiled import KernelError

__all__ = ["LANES", "KernelError", "aligned", "call", "kernels"]

LANES = 16
"""Systems in a block: their single-precision numbers fill one 512-bit register."""

_SOURCES = ("block.c", "symbolic.c", "interleaved.c", "factor.c", "multigrid.c")
_FLAGS = "-fno-signed-zeros -fassociative-math -freciprocal-math"


@functools.cache
def kernels() -> ctypes.CDLL:
    """Return the compiled kernels. Not collective; several processes may compile at once.

    Raises:
        KernelError: No C compiler, or it failed; the text has its message.
    """
    instead = "take a strategy with block 1"
    return compiled.compiled(Path(__file__).parent, _SOURCES, _FLAGS, instead)


def aligned(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Zeros that start at a multiple of 128 bytes, as vector registers want them."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    # np.empty asks for huge pages where np.zeros doesn't; the first touch of small ones is dear
    memory = np.empty(size + 128, dtype=np.uint8)
    memory[:] = 0
    offset = -memory.ctypes.data % 128
    return memory[offset : offset + size].view(dtype).reshape(shape)


def call(name: str, *arguments: Any) -> Any:
    """Call a kernel: arrays by address, integers as int, floats as double."""
    return compiled.call(kernels(), name, *arguments)
