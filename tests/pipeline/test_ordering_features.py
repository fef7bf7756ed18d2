"""The features of samples: distances of full fields, whatever the law does to them."""

from pathlib import Path

import numpy as np
import pytest

from pipeline import sampler as sampler_module
from pipeline.features import FieldFeatures
from pipeline.ordering import greedy, path_length, sort_features
from pipeline.sampler import Sampler
from pipeline.spaces import spaces_tree
from pipeline.spec import load_spec

EXAMPLES = Path(__file__).parents[2] / "examples"
N = 1500


def make(example, *changes):
    changes = [f"samples={N}", "mesh.resolution=16", *changes]
    spec = load_spec(EXAMPLES / f"{example}.yaml", changes)
    return Sampler(spec, spaces_tree(spec))


@pytest.mark.parametrize("sort", ["auto", "nearest"])
@pytest.mark.parametrize("example", ["darcy", "darcy-two-phase", "darcy-multiscale"])
def test_paths_by_features_are_short_in_the_distance_of_full_fields(example, sort):
    sampler = make(example)
    full = np.array([sampler.inputs(i)["inputs/a"] for i in range(N)])
    features = np.array([sampler.features(i, 32) for i in range(N)])
    assert features.shape == (N, 32)
    ratio = path_length(full, sort_features(features, sort)) / path_length(full, greedy(full))
    assert ratio < 1.03  # by the features of the laws, with `auto`: 1.04, 1.10, 1.21


def test_distances_are_those_of_the_fields():
    sampler = make("darcy")
    found, exact = [], []
    for i in range(0, 200, 2):
        found.append(np.linalg.norm(sampler.features(i, 64) - sampler.features(i + 1, 64)))
        pair = [sampler.inputs(j)["inputs/a"] for j in (i, i + 1)]
        exact.append(np.linalg.norm(pair[0] - pair[1]))
    assert np.allclose(found, exact, rtol=0.1)


def test_features_depend_on_the_sample_alone():
    forwards, backwards = make("poisson"), make("poisson")
    expected = [forwards.features(i, 16).tobytes() for i in range(8)]
    assert [backwards.features(i, 16).tobytes() for i in reversed(range(8))] == expected[::-1]
    backwards.features(0, 5)  # of another count
    assert backwards.features(3, 16).tobytes() == expected[3]


def test_a_large_field_is_described_by_its_law(monkeypatch):
    whole = make("darcy").features(3, 8)
    monkeypatch.setattr(sampler_module, "WHOLE", 100)
    sampler = make("darcy")
    latent = sampler._draw(3)[0][0]
    assert np.array_equal(sampler.features(3, 8), sampler._samplers["inputs/a"].features(latent, 8))
    assert not np.array_equal(sampler.features(3, 8), whole)


def test_a_field_that_overflows_disturbs_no_other():
    rng = np.random.default_rng(0)
    fields = rng.normal(size=(40, 30))
    broken = fields.copy()
    broken[3, 4], broken[5] = np.inf, np.nan
    clean, spoilt = (FieldFeatures(iter(rows), 30, 8) for rows in (fields, broken))
    for row in (broken[3], broken[5], -np.inf * np.ones(30), 1e300 * np.ones(30)):
        assert np.isfinite(spoilt(row)).all() and np.isfinite(clean(row)).all()
    assert np.linalg.norm(clean(1e300 * np.ones(30))) < 10 * np.linalg.norm(clean(fields[0]))
    distances = [np.linalg.norm(f(fields[10]) - f(fields[20])) for f in (clean, spoilt)]
    assert np.isclose(*distances, rtol=0.3)


def test_long_fields_are_told_apart_by_some_of_their_dofs():
    rng = np.random.default_rng(1)
    waves = np.cos(np.outer(np.arange(12), np.linspace(0, np.pi, 15_000)))
    fields = rng.normal(size=(60, 12)) @ waves
    features = FieldFeatures(iter(fields), 15_000, 12)
    for a, b in [(0, 1), (20, 50)]:
        exact = np.linalg.norm(fields[a] - fields[b]) * np.sqrt(2048 / 15_000)
        assert np.isclose(
            np.linalg.norm(features(fields[a]) - features(fields[b])), exact, rtol=0.1
        )
