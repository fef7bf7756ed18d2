"""Processors on regular grids: shapes, gradients, fitting, and what each method promises."""

import subprocess
import sys

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch.nn import functional

from pipeline.operators.config.grid import (
    FnoConfig,
    GridConfig,
    LsmConfig,
    MgnoConfig,
    UNetConfig,
    UnoConfig,
)
from pipeline.operators.errors import TrainingError
from pipeline.operators.processors import fourier, lsm, mgno, unet
from pipeline.operators.processors.grids import Padded, coarsenings

MAKE = {
    "fno": fourier.make_fno,
    "uno": fourier.make_uno,
    "unet": unet.make,
    "lsm": lsm.make,
    "mgno": mgno.make,
}
SMALL = [
    FnoConfig(width=8, layers=2, modes=6),
    UnoConfig(width=8, modes=6),
    UNetConfig(width=8, levels=3),
    LsmConfig(width=8, heads=4, levels=3),
    MgnoConfig(width=8, layers=2),
]
by_kind = pytest.mark.parametrize("config", SMALL, ids=lambda c: c.kind)


def build(config, shape, c_in=2, c_out=3, seed=0):
    torch.manual_seed(seed)
    return MAKE[config.kind](config, shape, c_in, c_out)


def waves(batch, *shape):
    """Two smooth images a sample, and one that depends on them everywhere (an average)."""
    axes = torch.meshgrid(*(torch.linspace(0, 1, n) for n in shape), indexing="ij")
    phase = torch.linspace(0, 1, batch).reshape(-1, *[1] * len(shape))
    a = torch.sin(3 * axes[0] + 5 * phase) + 0.5 * phase
    b = torch.cos(4 * axes[-1] * (1 + phase))
    y = a * b + a.flatten(1).mean(1).reshape(phase.shape)
    return torch.stack([a, b], dim=1), (y / y.std()).unsqueeze(1)


@by_kind
@pytest.mark.parametrize("shape", [(19,), (33, 33), (32, 16), (17, 41), (9, 10, 11)], ids=str)
def test_images_keep_any_shape_in_one_to_three_dimensions(config, shape):
    levels = {"levels": None} if hasattr(config, "levels") else {}
    net = build(config.model_copy(update=levels), shape)
    assert net(torch.randn(2, 2, *shape)).shape == (2, 3, *shape)


@by_kind
def test_a_grid_of_four_axes_or_two_points_is_refused(config):
    for shape in ((5, 5, 5, 5), (33, 2), (2,)):
        with pytest.raises(TrainingError, match=f"{config.kind} works on grids of 1 to 3 axes"):
            build(config, shape)


@pytest.mark.parametrize("config", [c for c in SMALL if hasattr(c, "levels")], ids=lambda c: c.kind)
def test_more_levels_than_the_grid_has_are_refused(config):
    with pytest.raises(TrainingError, match="5 levels asked for.*9x9.*set levels to at most 4"):
        build(config.model_copy(update={"levels": 5}), (9, 9))


@by_kind
def test_overfits_one_batch_of_smooth_images(config):
    net = build(config, (17, 17), 2, 1)
    x, y = waves(4, 17, 17)
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    for _ in range(80):
        loss = functional.mse_loss(net(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert functional.mse_loss(net(x), y) < 0.05 * y.var()


@by_kind
def test_the_gradient_reaches_every_parameter(config):
    net = build(config, (17, 12))
    net(torch.randn(2, 2, 17, 12)).square().sum().backward()
    dead = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not dead


@by_kind
def test_one_seed_one_net(config):
    first, again, other = (build(config, (9, 9), seed=s).state_dict() for s in (3, 3, 4))
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)
    build(config, (9, 9), seed=5).load_state_dict(first)


@by_kind
def test_samples_of_a_batch_do_not_see_each_other(config):
    net = build(config, (17, 17))
    x = torch.randn(3, 2, 17, 17)
    torch.testing.assert_close(net(x)[1:2], net(x[1:2]), rtol=1e-4, atol=1e-4)


@by_kind
def test_the_size_of_the_input_is_seen(config):
    """Normalisation inside must not hide how large a field is."""
    net = build(config, (17, 17))
    x = torch.randn(1, 2, 17, 17)
    assert (net(2 * x) - net(x)).norm() > 0.02 * net(x).norm()


def test_mgno_has_the_parameters_of_the_paper():
    net = build(MgnoConfig(), (256, 256), 1, 1)
    assert sum(p.numel() for p in net.parameters()) == 572_661


@pytest.mark.parametrize("boundary", ["zeros", "reflect", "circular"])
def test_a_v_cycle_of_mgno_is_linear(boundary):
    torch.manual_seed(0)
    shapes = coarsenings((17, 12), None, 6, 3, "mgno")
    cycle = mgno.VCycle(shapes, 2, 4, boundary).double()
    f, g = torch.randn(2, 1, 2, 17, 12, dtype=torch.float64)
    torch.testing.assert_close(cycle(2 * f - 3 * g), 2 * cycle(f) - 3 * cycle(g))
    assert cycle(f).norm() > 1e-4 * f.norm()


def test_the_coarsest_level_of_a_v_cycle_reaches_across_the_grid():
    torch.manual_seed(0)
    f = torch.zeros(1, 1, 33, 33)
    f[..., 0, 0] = 1

    def reached(levels):
        shapes = coarsenings((33, 33), levels, 6, 3, "mgno")
        return mgno.VCycle(shapes, 1, 2, "zeros")(f)[..., -1, -1].any()

    assert reached(5)
    assert not reached(2)


def test_the_boundary_of_mgno_decides_what_stencils_see():
    """A constant stays constant through stencils that reflect or wrap, not beside zeros."""
    one = torch.ones(1, 2, 9, 9)

    def spread(boundary):
        torch.manual_seed(0)
        smooth = mgno.Smoothing(2, 2, 4, boundary)
        return smooth(torch.ones(1, 4, 9, 9), one).std(dim=(-1, -2)).max()

    assert spread("reflect") < 1e-5
    assert spread("circular") < 1e-5
    assert spread("zeros") > 1e-2


def test_padding_repeats_the_last_value_and_is_cropped():
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, x):
            seen.append(x)
            return x

    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    y = Padded(Spy(), (3, 4), (4, 6))(x)
    assert torch.equal(y, x)
    assert seen[0].shape == (1, 1, 4, 6)
    assert torch.equal(seen[0][0, 0, 3], torch.tensor([8.0, 9, 10, 11, 11, 11]))


def test_fno_without_padding_commutes_with_shifts_of_a_periodic_grid():
    net = build(FnoConfig(width=6, layers=2, modes=6, padding=0), (16, 16))
    x = torch.randn(1, 2, 16, 16)
    shifted = net(x.roll((3, 5), (-2, -1)))
    torch.testing.assert_close(shifted, net(x).roll((3, 5), (-2, -1)), rtol=1e-3, atol=1e-4)


def test_fno_of_a_small_grid_carries_no_modes_that_it_cannot_see():
    config = FnoConfig(width=6, layers=1, modes=64, padding=0)
    assert build(config, (9, 8)).net.fno_blocks.convs[0].weight.shape == (6, 6, 8, 5)


def test_sizes_for_transforms_are_even_and_without_large_factors():
    assert [fourier.fft_size(n) for n in (2, 7, 11, 65, 74, 129)] == [2, 8, 12, 72, 80, 144]


def test_a_spectral_block_of_lsm_acts_patch_by_patch():
    """Points of another patch change nothing, points of the same one do."""
    torch.manual_seed(0)
    block = lsm.SpectralBlock(LsmConfig(), (7, 8), 8)
    x = torch.randn(1, 8, 7, 8)
    changed = x.clone()
    changed[..., 1, 2] += 1
    moved = (block(changed) - block(x)).abs().amax(dim=(0, 1)) > 1e-7
    assert moved[:3, :3].all()
    assert not moved[3:].any() and not moved[:, 3:].any()


def test_lsm_wants_heads_that_divide_its_channels():
    with pytest.raises(TrainingError, match="width 10 is no multiple of heads 8"):
        build(LsmConfig(width=10, heads=8), (17, 17))


def test_a_grid_config_is_told_by_its_kind():
    parse = TypeAdapter(GridConfig).validate_python
    assert [type(parse({"kind": c.kind})) for c in SMALL] == [type(c) for c in SMALL]
    with pytest.raises(ValidationError, match="levels"):
        parse({"kind": "fno", "levels": 3})


def test_the_libraries_are_loaded_by_building_only_and_stay_local(tmp_path):
    """Building opens no connection, writes nothing here, and prints nothing."""
    code = """
import sys
events = []
sys.addaudithook(lambda name, args: events.append(name) if name.startswith(
    ("socket.connect", "socket.getaddrinfo", "socket.sendto")) else None)
from pipeline.operators.processors import fourier, unet, lsm, mgno
from pipeline.operators.config.grid import UnoConfig, UNetConfig
assert not {"neuralop", "monai"} & set(sys.modules), "loaded too early"
fourier.make_uno(UnoConfig(width=4), (9, 9), 1, 1)
unet.make(UNetConfig(width=4), (9, 9), 1, 1)
assert {"neuralop", "monai"} <= set(sys.modules)
assert not events, events
"""
    path = [p for p in sys.path if p]
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == ""
    assert not list(tmp_path.iterdir())
