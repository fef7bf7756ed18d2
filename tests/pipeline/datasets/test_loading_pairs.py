"""`{"x", "y"}` of real data sets: the functions themselves at the grid's points."""

from pathlib import Path

import numpy as np
import pytest
from runs import folder_of

from storage import build_manifest, open_dataset, read_records

torch = pytest.importorskip("torch")
EXAMPLES = Path(__file__).parents[3] / "examples"
SETS = {
    "poisson-l-shape": ("mesh.resolution=6",),  # a third of the grid is outside
    "heat": ("mesh.resolution=6",),  # time
    "elasticity": ("mesh.resolution=[6,6]",),  # vectors
}


@pytest.fixture(scope="module")
def made(rekrylov, tmp_path_factory):
    """Open a data set of an example, made when it is first asked for."""
    root, found = tmp_path_factory.mktemp("pairs"), {}

    def get(name):
        if name not in found:
            settings = ("samples=10", "train=null", *SETS[name])
            chosen = [part for text in settings for part in ("--set", text)]
            done = rekrylov("solve", EXAMPLES / f"{name}.yaml", "--root", root / name, *chosen)
            assert done.code == 0, done.text
            found[name] = folder_of(root / name)
            build_manifest(found[name], {"data_key": read_records(found[name])[0].data_key})
        return open_dataset(found[name].path)

    return get


def at_the_grid(ds, name, row, step=-1):
    """(components, *shape) of a field by point location and Basix, 0 outside."""
    grid = ds.spaces[ds.fields[name].space]["grid"]
    u = ds.function(name, row, step)
    cells, X = u.locate(np.asarray(grid["points"]))
    values = np.where(cells[:, None] >= 0, u.evaluate(np.maximum(cells, 0), X), 0.0)
    return values.T.reshape(-1, *np.asarray(grid["shape"]))


@pytest.mark.parametrize("name", SETS)
def test_fields_are_evaluated(made, name):
    ds = made(name)
    pairs = ds.pairs()
    for row, sample in enumerate(pairs.__getitems__([0, 1, 2])):
        assert sample["x"].shape == (pairs.in_channels, *pairs.shape)
        assert sample["y"].shape == (pairs.out_channels, *pairs.shape)
        fields = {"x": ds.inputs, "y": ds.outputs}
        for key, names in fields.items():
            steps = range(len(ds.times)) if ds.times is not None and key == "y" else [-1]
            expected = [at_the_grid(ds, n, row, step) for n in names for step in steps]
            expected = np.concatenate(expected) if expected else np.zeros((0, *pairs.shape))
            given = sample[key][: len(expected)]
            np.testing.assert_allclose(
                given, expected, rtol=2e-6, atol=1e-6 * np.abs(expected).max(initial=0)
            )


def test_parameters_are_constant_channels(made):
    for name in SETS:
        ds = made(name)
        count = sum(int(np.prod(ds.columns[f"parameters/{p}"]["shape"])) for p in ds.parameters)
        pairs = ds.pairs(inputs=[*ds.parameters, *ds.inputs])
        sample = pairs[4]["x"].numpy()
        values = [ds.read(p, 4).ravel() for p in ds.parameters]
        expected = np.concatenate(values) if values else np.zeros(0)
        inside = pairs.inside.astype("f4")
        np.testing.assert_allclose(
            sample[:count], expected.reshape(-1, *(1,) * inside.ndim) * inside, rtol=1e-6
        )


def test_outside_is_zero_and_the_mask_says_where(made):
    ds = made("poisson-l-shape")
    assert 0.2 < 1 - ds.pairs().inside.mean() < 0.3
    for normalised in (False, True):
        pairs = ds.pairs(mask=True, normalised=normalised)
        sample = pairs[3]
        assert pairs.in_channels == ds.pairs().in_channels + 1
        np.testing.assert_array_equal(sample["x"][-1], pairs.inside.astype("f4"))
        assert not sample["x"][:, ~pairs.inside].any() and not sample["y"][:, ~pairs.inside].any()
        assert sample["y"][:, pairs.inside].any()


def test_time_as_an_axis(made):
    ds = made("heat")
    channels, axis = ds.pairs()[1]["y"], ds.pairs(time="axis")[1]["y"]
    steps = len(ds.times)
    assert axis.shape == (1, steps, *ds.pairs().shape) and channels.shape[0] == steps > 1
    torch.testing.assert_close(axis[0], channels, rtol=0, atol=0)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("time", ["channels", "axis"])
def test_one_normalisation_for_all_splits_and_back(made, name, time):
    ds = made(name)
    scale = ds.scale(ds.outputs[0])
    for part in (ds, ds.split("train"), ds.select(ds.ids[-2:])):
        plain, normal = part.pairs(time=time), part.pairs(time=time, normalised=True)
        y, z = plain[0]["y"], normal[0]["y"]
        inside = torch.from_numpy(plain.inside)
        expected = (y - scale.mean) / scale.std * inside
        torch.testing.assert_close(z, expected, rtol=1e-4, atol=1e-5)
        size = float(y.abs().max())
        for back in (normal.denormalise(z), torch.from_numpy(normal.denormalise(z.numpy()))):
            torch.testing.assert_close(back, y, rtol=1e-5, atol=1e-6 * size)
        torch.testing.assert_close(normal.denormalise(z[None])[0], normal.denormalise(z))


def test_the_packed_copy_gives_the_same(made):
    from storage.loading.packing import pack

    ds = made("heat")
    pack(ds)
    for one, other in zip(ds.pairs()[2].values(), ds.packed().pairs()[2].values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("workers", [0, 2])
def test_neuraloperators_trainer_takes_them(made, workers):
    pytest.importorskip("neuralop")
    from neuralop import LpLoss, Trainer
    from neuralop.data.transforms.data_processors import DefaultDataProcessor
    from neuralop.models import FNO

    torch.manual_seed(0)
    ds = made("poisson-l-shape")
    train = ds.pairs(normalised=True, mask=True)
    kept = {"multiprocessing_context": "spawn", "persistent_workers": True} if workers else {}
    loader = torch.utils.data.DataLoader(  # spawned: this process may run MPI
        train, batch_size=4, shuffle=True, num_workers=workers, **kept
    )
    model = FNO(
        n_modes=(4, 4),
        in_channels=train.in_channels,
        out_channels=train.out_channels,
        hidden_channels=8,
        n_layers=2,
    )
    loss = LpLoss(d=2)
    before = [p.detach().clone() for p in model.parameters()]
    trainer = Trainer(model=model, n_epochs=2, device="cpu", verbose=False,
                      data_processor=DefaultDataProcessor())  # fmt: skip
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    trainer.train(
        train_loader=loader,
        test_loaders={"all": torch.utils.data.DataLoader(train, batch_size=4)},
        optimizer=optimiser,
        scheduler=torch.optim.lr_scheduler.ConstantLR(optimiser),
        regularizer=False,
        training_loss=loss,
        eval_losses={"l2": loss},
    )
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(torch.isfinite(p).all() for p in model.parameters())
