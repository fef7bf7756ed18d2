"""Several random inputs at once: drawn from (spec, i) alone, and of equal weight in the sorting."""

import numpy as np
import pytest

from pipeline.sampler import Sampler
from pipeline.spaces import spaces_tree
from pipeline.spec import parse_spec

PROBLEM = {
    "family": "thermal",
    "conductivity": {"law": "lognormal"},
    "source": {"law": "gaussian", "field": {"kind": "cosine", "sigma": 1e3}},
    "left": {"law": "uniform", "low": 0, "high": 1e-3},
    "right": 0,
}


def spec(samples, kind="sobol"):
    return parse_spec(
        {
            "name": "t",
            "samples": samples,
            "problem": PROBLEM,
            "mesh": {"domain": "unit_square", "resolution": 4},
            "design": {"kind": kind},
        }
    )


@pytest.fixture(scope="module")
def tree():
    return spaces_tree(spec(4))


@pytest.mark.parametrize("kind", ["random", "sobol", "latin_hypercube"])
def test_a_sample_depends_on_neither_the_others_nor_their_number(tree, kind):
    few, many = Sampler(spec(4, kind), tree), Sampler(spec(400, kind), tree)
    backwards = {i: many.inputs(i) for i in reversed(range(4))}
    for i in range(4):
        found = few.inputs(i)
        assert set(found) == {"inputs/k", "inputs/f", "parameters/T_l"}
        for name, values in found.items():
            assert values.tobytes() == backwards[i][name].tobytes()


def test_every_input_counts_alike_in_the_features(tree):
    sampler = Sampler(spec(64), tree)
    features = np.array([sampler.features(i, 24) for i in range(64)])
    assert features.shape == (64, 8 + 8 + 1)  # a third each; a number has one
    scatter = np.std(features, axis=0)
    parts = [np.linalg.norm(scatter[part]) for part in (slice(8), slice(8, 16), slice(16, 17))]
    assert np.all(np.abs(np.array(parts) - 1) < 0.5), parts
