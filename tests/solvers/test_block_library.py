"""The kernels are compiled where they run: caches, compilers that fail, many at once."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from block_problems import RNG

from solvers.block.library import LANES, aligned, call

HERE = Path(__file__).parent
AUTO = """
import numpy as np
from mpi4py import MPI
from solver_problems import diffusion, to_petsc, vector
from solvers import Strategy, System, solve_stream
matrix = diffusion(8, skew=0.0)
A = to_petsc(matrix)
made = [System(i, A.copy(), vector(A, np.ones(64) + i), None) for i in range(20)]
def stream(strategy):
    found = solve_stream(made, strategy, rtol=1e-8, comm=MPI.COMM_SELF, evidence=print)
    for s, system in zip(found, made, strict=True):
        b = system.b.array
        assert np.linalg.norm(matrix @ s.x - b) <= 1e-8 * np.linalg.norm(b)
stream("auto")
"""
COMPILE = "from solvers.block.library import kernels; kernels(); print('done')"


def start(code, cache, **env):
    """A Python process of its own, outside MPI, with its own cache."""
    outer = ("PMI", "HYD", "MPI_LOCAL", "CC")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(outer)}
    path = f"{HERE}{os.pathsep}{HERE.parents[1]}"
    clean |= {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": path, **env}
    return subprocess.Popen(
        [sys.executable, "-c", f"import meshes\n{code}"],
        env=clean,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_without_a_compiler_auto_goes_on(tmp_path):
    """Candidates one by one, and the record says why."""
    code, out, err = ended(start(AUTO, tmp_path, CC="/bin/false"))
    assert code == 0, err
    assert "/bin/false" in out and "install a C compiler" in out
    assert "16 ×" not in out.split("left out")[0]
    assert not list((tmp_path / "rekrylov").iterdir())  # nothing half made


@pytest.mark.parametrize("compiler", ["/bin/false", "/no/such/cc"])
def test_a_block_without_a_compiler_is_refused(tmp_path, compiler):
    code = AUTO.replace('stream("auto")', 'stream(Strategy("preonly", "lu", block=16))')
    status, _, err = ended(start(code, tmp_path, CC=compiler))
    assert status != 0
    last = err.strip().splitlines()[-1]
    assert "KernelError" in last and compiler in last
    assert "install a C compiler, set CC, or take a strategy with block 1" in last


def test_a_cache_that_cannot_be_written(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    status, out, err = ended(start(COMPILE, blocked, TMPDIR=str(tmp_path)))
    assert status == 0 and "done" in out, err
    assert list(tmp_path.iterdir()) == [blocked]  # made for that process alone


def test_two_processes_compile_at_once(tmp_path):
    """Both end well, with one library and nothing left over."""
    both = [start(COMPILE, tmp_path) for _ in range(2)]
    for process in both:
        status, out, err = ended(process)
        assert status == 0 and "done" in out, err
    (library,) = (tmp_path / "rekrylov").iterdir()
    assert library.suffix == ".so"
    before = library.stat().st_mtime_ns
    assert ended(start(COMPILE, tmp_path))[0] == 0
    assert library.stat().st_mtime_ns == before  # not made again
    whole = library.read_bytes()
    for damaged in (whole[: len(whole) // 2], bytes(len(whole)), b""):
        library.write_bytes(damaged)
        assert ended(start(COMPILE, tmp_path))[0] == 0
        assert [path.stat().st_size for path in (tmp_path / "rekrylov").iterdir()] == [len(whole)]


@pytest.mark.parametrize("shape", [(0,), (1,), (3, LANES), (0, LANES), (257, LANES)])
def test_aligned(shape):
    for dtype in (np.float32, np.float64):
        found = aligned(shape, dtype)
        assert found.shape == shape and found.dtype == dtype and not found.any()
        assert found.size == 0 or found.ctypes.data % 128 == 0


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 300])
def test_interleave_and_back(count):
    """to[t, s] = from[s, index[t]], and its inverse."""
    rng = RNG(count)
    full = count + 5
    source = rng.standard_normal((LANES, full))
    index = rng.permutation(full)[:count].astype(np.int32)
    lanes = aligned((count, LANES), np.float64)
    call("interleave", count, index, full, source, lanes)
    np.testing.assert_array_equal(lanes, source[:, index].T)
    back = np.zeros((LANES, full))
    units = 2.0 ** np.arange(LANES)
    call("separate", count, index, full, lanes, units, back)
    expected = np.zeros((LANES, full))
    expected[:, index] = source[:, index] * units[:, None]
    np.testing.assert_array_equal(back, expected)


@pytest.mark.parametrize("n", [0, 1, 255, 256, 257, 1000])
def test_vector_kernels(n):
    """Sums over chunks are as good as double's sums of single numbers."""
    rng = RNG(n)
    a, b = (aligned((n, LANES), np.float32) for _ in range(2))
    a[:], b[:] = rng.standard_normal((2, n, LANES))
    found = np.empty(LANES)
    call("dot", n, a, b, found)
    size = (np.abs(a) * np.abs(b)).sum(axis=0)
    assert (np.abs(found - (a.astype(float) * b).sum(axis=0)) <= 1e-5 * size).all()
    alpha = aligned((LANES,), np.float32)
    alpha[:] = rng.standard_normal(LANES)
    p, q, y, r = (aligned((n, LANES), np.float32) for _ in range(4))
    p[:], q[:], y[:], r[:] = rng.standard_normal((4, n, LANES))
    y_new, r_new = y + alpha * p, r - alpha * q
    call("step", n, alpha, p, q, y, r, found)
    np.testing.assert_allclose(y, y_new, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(r, r_new, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found, (r.astype(float) ** 2).sum(axis=0), rtol=1e-5)
    wide, scale, c = (aligned(s, np.float64) for s in ((n, LANES), (n, LANES), (LANES,)))
    wide[:], scale[:] = rng.standard_normal((2, n, LANES))
    c[:] = rng.standard_normal(LANES)
    expected = wide + c * scale * y
    call("correct", n, c, scale, y, wide)
    np.testing.assert_allclose(wide, expected, rtol=1e-12, atol=1e-12)
    assert not y.any()
