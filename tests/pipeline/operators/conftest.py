"""Small real data sets for the tests of operators, made once."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from darcy_data import make_data  # noqa: E402
from operator_cases import Once  # noqa: E402


@pytest.fixture(scope="session")
def sets(tmp_path_factory):
    """P1 → P1 log-normal, DG0 → P1 two-phase, P2 → P2 with Dirichlet data 0.1 (1 + x)."""
    root = tmp_path_factory.mktemp("operators")
    return {
        "p1": make_data(root / "p1", "log", 6, 80),
        "dg0": make_data(root / "dg0", "two", 5, 48),
        "p2": make_data(root / "p2", "log", 3, 48, degree=2, boundary=0.1),
    }


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """Make a thing once a session: `once("name", lambda folder: …)`."""
    return Once(tmp_path_factory.mktemp("once"))


@pytest.fixture(autouse=True)
def one_thread():
    """Tests run beside each other: PyTorch takes one core, and gives back what it found."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
