"""Many batches: chains, what a job looks at of a data set that it shares, samples by processes."""

import importlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.chains import Batch, Part, all_batches, missing_batches, split_chains
from pipeline.stages.status import status
from storage import DamagedFile, DataFolder, RevisionMismatch
from tests.storage.synthetic import KEY, make_dataset

pytestmark = pytest.mark.timeout(120)
EXAMPLES = Path(__file__).parents[2] / "examples"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 70))
def test_chains_are_contiguous_and_about_equal(sizes, count):
    batches = [Batch(0, k, np.arange(size), 0) for k, size in enumerate(sizes)]
    chains = split_chains(batches, count)
    assert len(chains) == count
    assert [b.index for chain in chains for b in chain] == list(range(len(batches)))
    share = sum(sizes) / count
    for chain in chains:
        assert sum(len(b.ids) for b in chain) < share + max(sizes, default=0) + 1
    for k in range(0, count, 7):
        assert Part(k + 1, count).of(batches) == chains[k]


@pytest.fixture
def shared(tmp_path) -> DataFolder:
    """A data set of twelve batches."""
    return DataFolder(make_dataset(tmp_path, samples=48, shard_size=4))


def test_a_part_looks_at_its_own_records_alone(shared):
    shared.record(0, 1).write_text("no record")
    shared.shard(0, 2).unlink()
    shared.shard(0, 9).unlink()
    with pytest.raises(DamagedFile):
        missing_batches(shared, range(48), KEY)
    left = missing_batches(shared, range(48), KEY, part=Part(3, 3))
    assert [batch.index for batch in left] == [9]
    assert not shared.record(0, 9).exists()  # taken back, as its shard is gone
    assert shared.record(0, 2).exists()  # another job's to take back
    with pytest.raises(DamagedFile):
        missing_batches(shared, range(48), KEY, part=Part(1, 3))


def test_a_part_refuses_records_that_do_not_belong_to_it(shared):
    one, other = (shared.record(0, k) for k in (4, 5))
    ours = all_batches(shared)[4].ids.tolist()
    text = one.read_text()
    assert str(ours) in text
    one.write_text(text.replace(str(ours), str(all_batches(shared)[5].ids.tolist())))
    with pytest.raises(DamagedFile, match="holds other samples"):
        missing_batches(shared, range(48), KEY, part=Part(2, 3))
    one.write_text(text)
    other.write_text(other.read_text().replace(KEY, "f" * 10))
    with pytest.raises(RevisionMismatch):
        missing_batches(shared, range(48), KEY, part=Part(2, 3))


def made(example: str, root: Path, workers: int) -> np.ndarray:
    """Features as stage `sample` stores them."""
    from pipeline import stages
    from pipeline.spec import load_spec

    spec = load_spec(EXAMPLES / f"{example}.yaml", ["samples=90", "mesh.resolution=4"])
    folder = DataFolder(stages.sample(spec, root, quiet=True, workers=workers))
    assert status(spec, folder).missing == 90
    with h5py.File(folder.order) as file:
        group = file["segments/0000"]
        assert group["ids"][()].tolist() == list(range(90))
        return group["features"][()]


@pytest.mark.parametrize("example", ["darcy", "thermal-nonlinear"])  # one input, several
def test_features_are_the_same_from_any_number_of_processes(example, tmp_path, monkeypatch):
    stage = importlib.import_module("pipeline.stages.sample")
    monkeypatch.setattr(stage, "_BLOCK", 16)
    monkeypatch.setattr(stage, "_WORTH", 1)
    one, two = (made(example, tmp_path / str(workers), workers) for workers in (1, 2))
    assert one.tobytes() == two.tobytes()
    assert len(np.unique(one, axis=0)) == 90
