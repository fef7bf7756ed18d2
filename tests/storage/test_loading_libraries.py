"""Data sets as NumPy, PyTorch, JAX, xarray and Dask take them."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from synthetic import KEY, make_dataset, make_tree, write_batch

from storage import DataFolder, StorageError, build_manifest, open_dataset, write_spaces
from storage.loading.normalisation import Scale
from storage.loading.packing import pack
from storage.order import append_segment, set_path


@pytest.fixture(scope="module")
def ds(tmp_path_factory):
    return open_dataset(make_dataset(tmp_path_factory.mktemp("l")))


def altered(ds, change, **fields):
    """The data set with other statistics."""
    statistics = ds.statistics | {
        "fields": {k: v | change for k, v in ds.statistics["fields"].items()}
    }
    manifest = ds.manifest | {"statistics": statistics} | fields
    return type(ds)(replace(ds._source, manifest=manifest), ds.ids, ds._shard, ds._row)


@pytest.mark.parametrize("packed", [False, True])
def test_every_split_is_normalised_by_the_training_split(tmp_path, packed):
    torch = pytest.importorskip("torch")
    ds = open_dataset(make_dataset(tmp_path))
    if packed:
        pack(ds)
    train = ds.split("train")
    for name in ("a", "u"):
        mean, std = train.read(name).mean(), train.read(name).std()
        for split in ("train", "validation", "test"):
            part = (ds.packed() if packed else ds).split(split)
            if not len(part):
                continue
            view = part.torch(normalised=True)
            expected = (ds.split(split).read(name) - mean) / std
            batch = torch.utils.data.default_collate(view.__getitems__(range(len(part))))
            np.testing.assert_allclose(batch[name], expected, rtol=1e-4, atol=1e-5)
            np.testing.assert_array_equal(view[len(part) - 1][name], batch[name][-1])
            back = view.denormalise(batch)
            np.testing.assert_allclose(back[name], ds.split(split).read(name), rtol=1e-5, atol=1e-6)
            assert back["id"].tolist() == part.ids.tolist() and batch[name].dtype == torch.float32
    values = (
        ds.split("train").torch(normalised=True, dtype="float64").__getitems__(range(len(train)))
    )
    for name in ("a", "u"):
        z = torch.stack([sample[name] for sample in values])
        assert abs(z.mean()) < 1e-10 and abs(z.std(correction=0) - 1) < 1e-10


def test_a_constant_field_is_not_divided_by_zero(ds):
    for std in (0.0, 1e-17):
        constant = altered(ds, {"mean": 0.1, "std": std, "min": 0.1, "max": 0.1})
        assert constant.scale("u") == Scale(0.1, 1.0)
        assert np.all(constant.scale("u").normalise(np.full(3, 0.1)) == 0)
    zero = altered(ds, {"mean": 0.0, "std": 0.0, "min": 0.0, "max": 0.0})
    assert zero.scale("u") == Scale(0.0, 1.0)
    small = altered(ds, {"mean": 1e-30, "std": 1e-30, "min": -2e-30, "max": 3e-30})
    assert small.scale("u").std == 1e-30


def test_fluxes_keep_their_zero(tmp_path):
    ds = open_dataset(make_dataset(tmp_path, "mixed"))
    moments = ds.statistics["fields"]["velocity"]
    assert ds.scale("velocity") == Scale(moments["mean"], moments["std"])
    tree = make_tree("mixed")
    tree["spaces"]["p1v"]["map_type"] = "contravariant Piola"
    folder = DataFolder(tmp_path / "flux")
    folder.create()
    digest = write_spaces(folder.spaces, tree)
    write_batch(folder, "mixed", tree, digest, np.arange(9), 0)
    build_manifest(folder, {"data_key": KEY})
    flux = open_dataset(folder.path)
    moments = flux.statistics["fields"]["velocity"]
    assert flux.scale("velocity").mean == 0.0
    assert flux.scale("velocity").std == pytest.approx(
        np.sqrt(np.mean(flux.split("train").read("velocity") ** 2))
    )
    assert moments["mean"] != 0


def test_statistics_that_are_not_there_are_said(tmp_path):
    ds = open_dataset(make_dataset(tmp_path, finalise=False))
    with pytest.raises(StorageError, match="no statistics of 'a' .* run `rekrylov finalise`"):
        ds.torch(normalised=True)
    with pytest.raises(KeyError, match="'v' is not one of the fields"):
        ds.scale("v")


def test_a_space_without_grid_is_said(ds):
    with pytest.raises(
        StorageError, match="space 'p1' of field 'a' has no evaluation matrix .*export"
    ):
        ds.pairs()


def test_jax_takes_batches_and_normalises_them(ds):
    jax = pytest.importorskip("jax")
    scale = ds.scale("u")

    @jax.jit
    def energy(a, u):
        return jax.numpy.einsum("bi,bi->b", a, scale.normalise(u))

    batch = ds[3:9]
    found = energy(batch["a"].astype("f4"), batch["u"].astype("f4"))
    expected = np.einsum("bi,bi->b", batch["a"], (batch["u"] - scale.mean) / scale.std)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(
        np.asarray(jax.numpy.asarray(ds.read("a", 3, "f4"))), ds.read("a", 3, "f4")
    )


@pytest.mark.parametrize("kind", ["scalar", "mixed", "time", "displacement"])
def test_xarray_has_all_columns_with_names(tmp_path, kind):
    xr = pytest.importorskip("xarray")
    ds = open_dataset(make_dataset(tmp_path, kind))
    found = ds.xarray()
    assert isinstance(found, xr.Dataset) and found.sizes["sample"] == 24
    for name in (*ds.inputs, *ds.outputs):
        field = ds.fields[name]
        assert found[name].attrs == {
            "column": f"{field.role}s/{name}",
            "role": field.role,
            "space": field.space,
            "units": field.units,
            "description": field.description,
        }
        assert found[name].dims[0] == "sample" and found[name].dims[-1] == f"dof_{field.space}"
        assert hasattr(found[name].data, "dask")
        np.testing.assert_array_equal(found[name], ds.read(name))
    np.testing.assert_array_equal(found["c"], ds.read("parameters/c"))
    np.testing.assert_array_equal(found["iterations"], ds.read("solve/iterations"))
    np.testing.assert_array_equal(found.coords["id"], ds.ids)
    if kind == "time":
        assert found[ds.outputs[0]].dims[1] == "time"
        np.testing.assert_array_equal(found.coords["times"], ds.read("times"))
    for split in ("train", "validation", "test"):
        chosen = found.isel(sample=found.coords["split"].values == split)
        assert chosen.coords["id"].values.tolist() == ds.split(split).ids.tolist()
    assert found.attrs["data_key"] == KEY


def test_xarray_without_a_manifest(tmp_path):
    pytest.importorskip("xarray")
    found = open_dataset(make_dataset(tmp_path, finalise=False)).xarray()
    assert "split" not in found.coords and found.sizes["sample"] == 24


LARGE = """
import resource, sys
import dask, numpy as np
from storage import open_dataset
dask.config.set(scheduler="synchronous")
ds = open_dataset(sys.argv[1])
ds.dask("u")[:4].mean(axis=0).compute()  # loads all code
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    ds.read("u")
    print("the bound does not bind")
except MemoryError:
    pass
np.save(sys.argv[3], ds.dask("u").mean(axis=0).compute())
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
def test_a_mean_over_more_than_memory(tmp_path):
    """The mean of 320 MB, with 200 MiB of address space left, which can't hold them."""
    pytest.importorskip("dask")
    path = large(tmp_path, shards=10, samples=32, m=353)
    expected = open_dataset(path).statistics["fields"]["u"]["mean"]
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(path), str(200 * 2**20), str(tmp_path / "mean.npy")],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert np.load(tmp_path / "mean.npy").mean() == pytest.approx(expected, rel=1e-6)


def large(root, shards, samples, m):
    """A set of constant fields, quickly."""
    from storage import ShardHeader, write_shard

    folder = DataFolder(root / "large")
    folder.create()
    dofs = (m + 1) ** 2
    digest = write_spaces(folder.spaces, {"fields": {"u": {"role": "output", "space": "p1"}}})
    ids = np.random.default_rng(0).permutation(shards * samples)
    append_segment(folder.order, np.arange(len(ids)), None)
    set_path(folder.order, 0, ids, [*range(0, len(ids), samples), len(ids)])
    for batch, part in enumerate(np.split(ids, shards)):
        values = np.broadcast_to(part[:, None].astype("f8"), (samples, dofs))
        columns = {"outputs/u": values, "samples/id": part}
        write_shard(folder, ShardHeader(KEY, 0, batch, digest), columns)
    build_manifest(folder, {"data_key": KEY}, fractions={"train": 1.0})
    return folder.path
