"""The same sample is the same bits: in any order, company, process and number of ranks."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import places
import pytest
from mpi4py import MPI

from pipeline.inputs import (
    Chebyshev,
    CosineFieldSpec,
    DesignSpec,
    Gaussian,
    LogNormal,
    MaternFieldSpec,
    Multiscale,
    Normal,
    TwoPhase,
    design,
)

MATERN = MaternFieldSpec(kind="matern", length=0.3)
LAWS = {
    "cosine": Gaussian(law="gaussian"),
    "matern": LogNormal(law="lognormal", field=MATERN),
    "rough": TwoPhase(law="two_phase", field=CosineFieldSpec(alpha=1.5, tau=9)),
    "islands": TwoPhase(law="two_phase", field=MATERN.model_copy(update={"alpha": 4})),
    "multiscale": Multiscale(law="multiscale"),
    "chebyshev": Chebyshev(law="chebyshev"),
    "edges": Chebyshev(law="chebyshev", over="edges"),
    "scalar": Normal(law="normal", size=3),
}
SEED = 11


def samplers():
    square, disk = places.square(40), places.disk(40)  # a grid, and points without one
    made = {n: law.at(square) for n, law in LAWS.items() if n != "scalar"}
    made |= {f"{n} on a disk": LAWS[n].at(disk) for n in ("cosine", "matern", "rough")}
    return made | {"scalar": LAWS["scalar"].sampler()}


def sample(sampler, i):
    """Hashes of values and features of sample i."""
    at = design(DesignSpec(kind="sobol"), SEED, sampler.uniforms)
    latent = sampler.draw(places.rng_of(SEED, i), at(i), i)
    parts = [sampler.evaluate(latent), sampler.features(latent, 8)]
    return [hashlib.sha256(np.ascontiguousarray(part).tobytes()).hexdigest() for part in parts]


def hashes(numbers):
    return {name: [sample(s, i) for i in numbers] for name, s in samplers().items()}


def test_order_and_company_make_no_difference():
    alone, among = hashes([3]), hashes([9, 4, 3, 3])
    for name, (expected,) in alone.items():
        assert among[name][2] == among[name][3] == expected, name
        assert among[name][0][0] != expected[0], name


@pytest.mark.parametrize("threads", ["1", "2"])
def test_another_process_and_more_threads_make_no_difference(threads):
    code = "import test_inputs_bits as t; print(t.hashes([5, 2]))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parent,
        env={k: v for k, v in os.environ.items() if not k.startswith(("PMI", "HYDI", "MPI"))}
        | {"OMP_NUM_THREADS": threads, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(hashes([5, 2]))


@pytest.mark.parallel([1, 2, 3])
def test_ranks_make_no_difference():
    comm = MPI.COMM_WORLD
    mine = hashes(range(comm.rank, 6, comm.size))
    parts = comm.allgather(mine)
    everything = hashes(range(6))
    for name in everything:
        found = [parts[i % comm.size][name][i // comm.size] for i in range(6)]
        assert found == everything[name], name
