"""Sample i is the same whatever made it: ranks, groups, shards, sort, number of samples."""

import pytest
from runs import assert_same, assert_sound, samples, write_spec

from storage import open_dataset

pytestmark = pytest.mark.timeout(120)

COUNT = 24
HARD = {
    "problem__coefficient": {"law": "two_phase"},
    "problem__output_space": {"family": "P", "degree": 2},
    "problem__boundary": "1 + x*y + sin(pi*x)",
    "problem__source": "exp(x)*y",
    "mesh__diagonal": "crossed",
}
KINDS = {"lognormal P1": {}, "two-phase P2, boundary data": HARD}

SHARDS = ["--set", "storage.shard_size=5"]
# how it is made: ranks, and commands one after the other
WAYS = {
    "two ranks": (2, [[]]),
    "three ranks, other shards, not sorted": (3, [["--set", "order.sort=none", *SHARDS]]),
    "groups of two": (2, [["--set", "solve.ranks_per_solve=2"]]),
    "samples raised": (2, [["--set", "samples=7"], ["--set", "samples=15", *SHARDS], []]),
    "samples lowered": (None, [["--set", "samples=30"], []]),
    "another sort": (None, [["--set", "order={sort: grouped, group_size: 10}"]]),
    "two threads": (None, [[]]),
    "direct": (2, [["--set", "solve.strategy={ksp: preonly, pc: cholesky}"]]),
    "lagged": (2, [["--set", "solve.strategy={ksp: cg, pc: cholesky, reuse: lagged}"]]),
}
THREADS = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
OFTEN = {
    "lognormal P1": ["two ranks", "groups of two", "two threads", "lagged"],
    "two-phase P2, boundary data": [
        "three ranks, other shards, not sorted",
        "groups of two",
        "samples raised",
    ],
}
CASES = [
    pytest.param(kind, way, marks=() if way in often else pytest.mark.long)
    for kind, often in OFTEN.items()
    for way in WAYS
]


@pytest.fixture(scope="module")
def references(rekrylov, tmp_path_factory):
    """Per kind: its spec, and the samples of one rank."""
    made = {}
    for kind, changes in KINDS.items():
        folder = tmp_path_factory.mktemp("reference")
        spec = write_spec(folder / "spec.yaml", samples=COUNT, **changes)
        done = rekrylov("solve", spec, "--root", folder / "data")
        assert done.code == 0, done.text
        made[kind] = spec, samples(folder / "data")
    return made


@pytest.mark.parametrize(("kind", "way"), CASES)
def test_the_same_samples(rekrylov, references, tmp_path, kind, way):
    spec, expected = references[kind]
    ranks, calls = WAYS[way]
    for changes in calls:
        env = THREADS if way == "two threads" else {}
        done = rekrylov("solve", spec, "--root", tmp_path, *changes, ranks=ranks, env=env)
        assert done.code == 0, done.text
    found = samples(tmp_path)
    assert_same({i: found[i] for i in range(COUNT)}, expected)
    assert rekrylov("finalise", spec, "--root", tmp_path).code == 0
    assert_sound(tmp_path)


def test_the_references_differ_between_samples_and_seeds(rekrylov, references, tmp_path):
    spec, expected = references["lognormal P1"]
    assert len({sample["a"].tobytes() for sample in expected.values()}) == COUNT
    done = rekrylov("solve", spec, "--root", tmp_path, "--set", "seed=8", "--set", "samples=4")
    assert done.code == 0, done.text
    assert samples(tmp_path)[0]["a"].tobytes() != expected[0]["a"].tobytes()


def test_the_hard_kind_is_what_it_says(references):
    spec, expected = references["two-phase P2, boundary data"]
    (path,) = (spec.parent / "data").iterdir()
    dataset = open_dataset(path)
    assert {name: field.space for name, field in dataset.fields.items()} == {"a": "DG0", "u": "P2"}
    values = dataset.fields["u"].values
    assert values.min() >= 1 and values.max() > 1.5
    assert set(expected[0]["a"].tolist()) == {3.0, 12.0}
    assert (expected[3]["u"][dataset.fields["u"].constrained] == values).all()
