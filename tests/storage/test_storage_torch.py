"""The PyTorch view, in the process itself and in forked and spawned workers."""

import numpy as np
import pytest
from synthetic import make_dataset

from storage import open_dataset

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def ds(tmp_path_factory):
    ds = open_dataset(make_dataset(tmp_path_factory.mktemp("t")))
    ds.read("u")  # the parent has files open when workers start
    return ds


@pytest.mark.parametrize(("workers", "context"), [(0, None), (2, "fork"), (2, "spawn")])
def test_loader_gives_every_sample_once(ds, workers, context):
    train = ds.split("train")
    loader = torch.utils.data.DataLoader(
        train.torch(),
        batch_size=5,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context=context,
        generator=torch.Generator().manual_seed(0),
    )
    for _ in range(2):
        seen = []
        for batch in loader:
            seen += batch["id"].tolist()
            assert batch["a"].dtype == batch["u"].dtype == torch.float32
            expected = ds.select(batch["id"].numpy())
            for name in ("a", "u"):
                np.testing.assert_array_equal(batch[name], expected.read(name).astype("f4"))
        assert sorted(seen) == train.ids.tolist() != seen
    np.testing.assert_array_equal(ds.read("u", [3, 1]), ds.read("u")[[3, 1]])


def test_chosen_fields_and_dtype(ds):
    view = ds.torch(inputs=["a", "parameters/c"], outputs=["solve/iterations"], dtype="float64")
    sample = view[2]
    assert list(sample) == ["id", "a", "parameters/c", "solve/iterations"]
    assert sample["a"].dtype == torch.float64 and sample["solve/iterations"].dtype == torch.int32
    assert len(view) == len(ds) and isinstance(view, torch.utils.data.Dataset)


def test_times_come_along(tmp_path):
    ds = open_dataset(make_dataset(tmp_path, "time"))
    batch = next(iter(torch.utils.data.DataLoader(ds.torch(), batch_size=4)))
    assert batch["u"].shape == (4, 5, 25) and batch["times_mask"].dtype == torch.bool
