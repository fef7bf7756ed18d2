"""Processors on places: what permutations do, what they can learn, what they refuse."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from darcy_data import square
from pydantic import ValidationError
from torch.nn import functional

from pipeline.operators.config.points import (
    AttentionConfig,
    AttentionProcessor,
    DeepONetConfig,
    DenseProcessor,
    MeshGraphNetConfig,
    MultiONetConfig,
)
from pipeline.operators.errors import TrainingError
from pipeline.operators.processors.attention import Attention
from pipeline.operators.processors.dense import Dense
from pipeline.operators.processors.mesh_graph_net import MeshGraphNet, edge_features
from pipeline.operators.processors.multionet import MultiONet, farthest_points

PROCESSORS = {
    "attention": (Attention, AttentionConfig(width=24, layers=2, heads=3, slices=8)),
    "meshgraphnet": (MeshGraphNet, MeshGraphNetConfig(width=24, layers=4, checkpoint=False)),
    "deeponet": (MultiONet, DeepONetConfig(width=48, layers=3, basis=32, sensors=20)),
    "multionet": (
        MultiONet,
        MultiONetConfig(width=48, layers=4, basis=24, terms=3, sensors=20),
    ),
    "dense": (Dense, DenseProcessor(width=48)),
}
EQUIVARIANT = ["attention", "meshgraphnet", "deeponet", "multionet"]


@dataclass(frozen=True)
class Some:
    """The attributes of `Places` that processors read."""

    points: np.ndarray
    features: np.ndarray
    edges: np.ndarray
    shape: tuple[int, ...] | None = None


def places(n=6, order=None):
    """Vertices of a distorted triangulation; place `order[i]` becomes place i."""
    points, cells = square(n, 0.2)
    pairs = np.concatenate([cells[:, [i, j]] for i in range(3) for j in range(3) if i != j])
    edges = np.unique(pairs, axis=0).T
    if order is not None:
        points, edges = points[order], np.argsort(order)[edges]
        edges = edges[:, np.random.default_rng(1).permutation(edges.shape[1])]
    boundary = ((points == 0) | (points == 1)).any(axis=1)
    return Some(points, np.c_[2 * points - 1, boundary], edges)


def build(name, where, c_in=2, c_out=3):
    kind, config = PROCESSORS[name]
    torch.manual_seed(0)
    return kind(config, where, c_in, c_out)


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize(("batch", "c_in", "c_out"), [(1, 1, 1), (4, 3, 2)])
def test_values_in_values_out(name, batch, c_in, c_out):
    where = places()
    y = build(name, where, c_in, c_out)(torch.randn(batch, len(where.points), c_in))
    assert y.shape == (batch, len(where.points), c_out) and y.dtype == torch.float32
    assert torch.isfinite(y).all() and y.std() > 1e-3


@pytest.mark.parametrize("name", PROCESSORS)
def test_samples_of_a_batch_dont_mix(name):
    where = places()
    net, x = build(name, where), torch.randn(4, len(where.points), 2)
    torch.testing.assert_close(net(x)[1:2], net(x[1:2]), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", EQUIVARIANT)
def test_renumbered_places_give_renumbered_values(name):
    where = places()
    order = np.random.default_rng(0).permutation(len(where.points))
    net, renumbered = build(name, where), build(name, places(order=order))
    x = torch.randn(3, len(order), 2)
    y = net(x)
    torch.testing.assert_close(renumbered(x[:, order]), y[:, order], atol=2e-6, rtol=1e-4)
    assert not torch.allclose(net(x[:, order]), y[:, order], atol=1e-3)  # places matter


@pytest.mark.parametrize("name", PROCESSORS)
def test_every_weight_gets_a_gradient(name):
    where = places()
    net = build(name, where)
    (net(torch.randn(4, len(where.points), 2)) ** 2).sum().backward()
    for key, weight in net.named_parameters():
        assert weight.grad is not None and weight.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", PROCESSORS)
def test_fits_one_batch(name):
    where = places()
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    a, b = torch.from_numpy(where.points).float().T
    modes = torch.stack([torch.sin(3 * a), torch.cos(3 * b), a * b])
    inputs = (x @ modes)[..., None]
    target = ((x.roll(1, 1) ** 2) @ modes)[..., None]
    net = build(name, where, 1, 1)
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=220)
    for _ in range(220):
        error = (net(inputs) - target).norm() / target.norm()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        schedule.step()
    assert error.item() < 0.05


def test_slices_share_what_happens_far_away():
    """One attention layer reaches every place; one message only the neighbours."""
    where = places()
    corner = int(np.abs(where.points).sum(axis=1).argmin())
    near = {corner, *where.edges[0][where.edges[1] == corner].tolist()}
    x = torch.randn(1, len(where.points), 1)
    moved = x.clone()
    moved[0, corner] += 1.0
    for kind, config, everywhere in (
        (Attention, AttentionProcessor(width=12, layers=1, heads=2, slices=4), True),
        (MeshGraphNet, MeshGraphNetConfig(width=12, layers=1), False),
    ):
        net = kind(config, where, 1, 1)
        changed = (net(moved) - net(x))[0, :, 0] != 0
        reached = set(changed.nonzero()[:, 0].tolist())
        assert reached == (set(range(len(where.points))) if everywhere else near)


def test_attention_is_the_papers_formula():
    """One layer's attention with every sum written out."""
    torch.manual_seed(0)
    where = places(2)
    net = Attention(AttentionConfig(width=6, layers=1, heads=2, slices=3), where, 1, 1)
    part = net.layers[0].attention
    h = torch.randn(1, len(where.points), 6)
    value, logits = part.value(h)[0], part.slice(h)[0]
    q_map, k_map, v_map = part.qkv.weight.chunk(3)
    heads = []
    for k in range(2):
        weight = torch.softmax(logits[:, 3 * k : 3 * k + 3] / 0.5, dim=1)
        v = value[:, 3 * k : 3 * k + 3]
        token = torch.stack([weight[:, g] @ v / weight[:, g].sum() for g in range(3)])
        q, key, val = token @ q_map.T, token @ k_map.T, token @ v_map.T
        heads.append(weight @ (torch.softmax(q @ key.T / 3**0.5, dim=1) @ val))
    expected = functional.linear(torch.cat(heads, dim=1), part.out.weight, part.out.bias)
    torch.testing.assert_close(part(h)[0], expected, atol=1e-5, rtol=1e-4)


def test_message_layer_is_the_papers_formula():
    """One layer, edge by edge, with the matrices of f_E side by side."""
    torch.manual_seed(0)
    where = places(2)
    net = MeshGraphNet(MeshGraphNetConfig(width=5, layers=1), where, 1, 1)
    layer = net.layers[0]
    v, e = torch.randn(1, len(where.points), 5), torch.randn(1, where.edges.shape[1], 5)
    first = torch.cat([layer.own.weight, layer.sender.weight, layer.receiver.weight], dim=1)
    total, messages = torch.zeros(len(where.points), 5), []
    for k, (j, i) in enumerate(where.edges.T):
        known = torch.cat([e[0, k], v[0, j], v[0, i]])
        messages.append(e[0, k] + layer.message(first @ known + layer.own.bias))
        total[i] += messages[-1]
    expected = v[0] + layer.update(torch.cat([v[0], total], dim=1))
    got_v, got_e = layer(v, e, net.edges)
    torch.testing.assert_close(got_v[0], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(got_e[0], torch.stack(messages), atol=1e-5, rtol=1e-4)


def test_edge_features_point_to_the_sender_in_mean_lengths():
    points = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 1.0]])
    edges = np.array([[1, 2], [0, 0]])
    np.testing.assert_allclose(edge_features(points, edges), [[1.5, 0, 1.5], [0, 0.5, 0.5]])
    np.testing.assert_array_equal(edge_features(np.zeros((2, 2)), edges[:, :1] % 2), 0.0)


def test_computing_layers_again_changes_nothing():
    where = places()
    x = torch.randn(2, len(where.points), 1)
    gradients = []
    for again in (True, False):
        torch.manual_seed(0)
        net = MeshGraphNet(MeshGraphNetConfig(width=8, layers=2, checkpoint=again), where, 1, 1)
        net(x).square().sum().backward()
        gradients.append([weight.grad for weight in net.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


@pytest.mark.parametrize("name", ["deeponet", "one term"])
def test_one_term_is_deeponet(name):
    """Recomputed by hand: Σ_p w branch_p(a) trunk_p(place) + β, channel by channel."""
    config = {
        "deeponet": DeepONetConfig(width=16, layers=3, basis=8, sensors=9),
        "one term": MultiONetConfig(width=16, layers=3, basis=8, sensors=9, terms=1),
    }[name]
    where = places()
    torch.manual_seed(0)
    net = MultiONet(config, where, 2, 3)
    with torch.no_grad():
        net.weight.normal_()
        net.bias.normal_()
    x = torch.randn(2, len(where.points), 2)
    (b1, b2, b3), (t1, t2, t3) = net.branch, net.trunk
    gelu = functional.gelu
    for sample in range(2):
        branch = b3(gelu(b2(gelu(b1(x[sample, net.sensors].reshape(-1))))))
        trunk = gelu(t3(gelu(t2(gelu(t1(net.features))))))
        for c in range(3):
            own = slice(8 * c, 8 * c + 8)
            expected = net.weight[0, c] * trunk[:, own] @ branch[own] + net.bias[c]
            torch.testing.assert_close(net(x)[sample, :, c], expected, atol=1e-5, rtol=1e-4)


def test_terms_are_averaged():
    where = places()
    torch.manual_seed(0)
    config = MultiONetConfig(width=8, layers=3, basis=8, sensors=9, terms=2)
    net = MultiONet(config, where, 1, 1)
    x, gelu = torch.randn(1, len(where.points), 1), functional.gelu
    b, t = gelu(net.branch[0](x[0, net.sensors].reshape(-1))), gelu(net.trunk[0](net.features))
    b2, t2 = gelu(net.branch[1](b)), gelu(net.trunk[1](t))
    b3, t3 = net.branch[2](b2), gelu(net.trunk[2](t2))
    expected = (net.weight[0] * (t2 @ b2) + net.weight[1] * (t3 @ b3)) / 2 + net.bias
    torch.testing.assert_close(net(x)[0, :, 0], expected, atol=1e-5, rtol=1e-4)


def test_sensors_are_spread_and_chosen_by_geometry():
    x = np.linspace(0.0, 1.0, 33)
    points = np.stack(np.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2)  # full of ties
    order = np.random.default_rng(0).permutation(len(points))
    chosen = farthest_points(points, 81, points)
    again = farthest_points(points[order], 81, points[order])
    np.testing.assert_array_equal(points[order][again], points[chosen])
    reach = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(axis=1).max()
    assert len(set(chosen.tolist())) == 81 and reach <= 0.125  # 9 × 9 points: half a diagonal .088


def test_coincident_places_and_few_places_are_all_sensors():
    points = np.repeat(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), 2, axis=0)
    keys = np.c_[points, np.tile([1.0, 0.0], 3)]
    chosen = farthest_points(points, 5, keys)
    assert len(set(chosen.tolist())) == 5
    assert len({tuple(p) for p in points[chosen[:3]]}) == 3
    np.testing.assert_array_equal(farthest_points(points, 9, keys), [1, 0, 5, 4, 3, 2])


def test_dense_refuses_big_spaces():
    where = places(40)
    with pytest.raises(TrainingError, match=r"432,145 .* 1681 places .* 400,000 .* `width`"):
        Dense(DenseProcessor(width=128, layers=1, max_parameters=400_000), where, 1, 1)
    net = Dense(DenseProcessor(width=128, layers=1, max_parameters=450_000), where, 1, 1)
    count = sum(weight.numel() for weight in net.parameters())
    with pytest.raises(TrainingError, match=f"{count:,} parameters"):
        Dense(DenseProcessor(width=128, layers=1, max_parameters=count - 1), where, 1, 1)


def test_messages_need_edges():
    where = places()
    grid = Some(where.points, where.features, np.zeros((2, 0), np.int64), (7, 7))
    with pytest.raises(TrainingError, match=r"49 places without edges.* dof nodes"):
        MeshGraphNet(MeshGraphNetConfig(), grid, 1, 1)


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (AttentionConfig, {"width": 100, "heads": 8}, "take 104"),
        (AttentionProcessor, {"width": 10, "heads": 4}, "take 12"),
        (MultiONetConfig, {"layers": 2, "terms": 3}, "take fewer"),
        (DenseProcessor, {"kind": "attention"}, "dense"),
    ],
)
def test_configs_refuse_what_doesnt_fit(config, values, message):
    with pytest.raises(ValidationError, match=message):
        config(**values)
