"""From a config to an operator: which places, which processor, what is exact."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.operators.config import OperatorConfig, SponConfig
from pipeline.operators.decoder import FieldDecoder
from pipeline.operators.errors import TrainingError
from pipeline.operators.fe.constraints import find_constraint
from pipeline.operators.fe.flux import DivergenceConstraint
from pipeline.operators.fe.levels import make_levels
from pipeline.operators.fe.normalisation import Normalisation
from pipeline.operators.fe.places import DofPlaces, Places, dof_places, grid_places
from pipeline.operators.operator import Operator, make_encoders
from pipeline.operators.processors.attention import Attention
from pipeline.operators.processors.dense import Dense
from pipeline.operators.processors.fourier import make_fno, make_uno
from pipeline.operators.processors.lsm import make as make_lsm
from pipeline.operators.processors.mesh_graph_net import MeshGraphNet
from pipeline.operators.processors.message_passing import MessagePassing
from pipeline.operators.processors.mgno import make as make_mgno
from pipeline.operators.processors.multigrid import Multigrid
from pipeline.operators.processors.multionet import MultiONet
from pipeline.operators.processors.unet import make as make_unet
from pipeline.operators.processors.vcycle import VcycleOnMesh
from pipeline.operators.task import Task
from storage import Dataset

__all__ = ["TITLES", "label", "make_operator"]

GRID: dict[str, Callable[..., nn.Module]] = {
    "fno": make_fno,
    "uno": make_uno,
    "unet": make_unet,
    "lsm": make_lsm,
    "mgno": make_mgno,
}
POINTS: dict[str, Callable[..., nn.Module]] = {
    "transolver": Attention,
    "meshgraphnet": MeshGraphNet,
    "deeponet": MultiONet,
    "multionet": MultiONet,
    "attention": Attention,
    "dense": Dense,
}
LEVELS: dict[str, Callable[..., nn.Module]] = {"multigrid": Multigrid, "vcycle": VcycleOnMesh}

TITLES = {
    "spon": "SPON",
    "spon-multigrid": "SPON-MG",
    "spon-vcycle": "SPON with MgNO's V-cycles",
    "spon-attention": "SPON with attention",
    "spon-dense": "SPON, fully connected",
    "fno": "FNO",
    "uno": "U-NO",
    "unet": "U-Net",
    "lsm": "LSM",
    "mgno": "MgNO",
    "transolver": "Transolver",
    "meshgraphnet": "MeshGraphNet",
    "deeponet": "DeepONet",
    "multionet": "MultiONet",
    "mean": "mean of the training outputs",
    "nearest": "nearest training sample",
    "pod_ridge": "POD + ridge regression",
}


def label(config: OperatorConfig) -> str:
    """A short name: the kind, for SPON with its processor unless that is `messages`."""
    if isinstance(config, SponConfig) and config.processor.kind != "messages":
        return f"spon-{config.processor.kind}"
    return config.kind


def make_operator(
    config: OperatorConfig,
    task: Task,
    normalisation: Normalisation,
    train: Dataset,
) -> Operator:
    """Build an operator with random weights (PyTorch's global generator).

    Args:
        config: which one.
        task: the fields.
        normalisation: from the training split.
        train: the training split; constraints are confirmed on it.

    Raises:
        TrainingError: the operator can't work with these spaces.
    """
    fluxes = _fluxes(config, task, train)
    places = _places(config, task, fluxes)
    exact = isinstance(config, SponConfig)
    decoders = {
        field.name: FieldDecoder(
            field,
            task,
            places,
            normalisation.outputs[field.name],
            find_constraint(field, train, task) if exact else None,
            fluxes.get(field.name),
            train,
        )
        for field in task.outputs
    }
    encoders = make_encoders(task, places)
    rows = sum(E.shape[0] for E in encoders.values())
    c_in = len(task.parameters) + rows // len(places.points)
    c_out = sum(decoder.channels for decoder in decoders.values())
    processor = _processor(config, task, places, c_in, c_out)
    return Operator(config, task, normalisation, places, encoders, processor, decoders)


def _fluxes(config: OperatorConfig, task: Task, train: Dataset) -> dict[str, DivergenceConstraint]:
    if not isinstance(config, SponConfig):
        return {}
    outputs = [field.name for field in task.outputs]
    for name in config.conserve:
        if name not in outputs:
            raise TrainingError(f"`conserve: [{name}]`: expected some of the outputs {outputs}")
    return {name: DivergenceConstraint.from_dataset(train, name) for name in config.conserve}


def _places(config: OperatorConfig, task: Task, fluxes: dict[str, DivergenceConstraint]) -> Places:
    if config.kind in GRID:
        fields = [*task.inputs, *task.outputs]
        return grid_places([task.space(field) for field in fields])
    learnt = [
        task.spaces[fluxes[f.name].potential] if f.name in fluxes else task.space(f)
        for f in task.outputs
    ]
    return dof_places(task.mesh, learnt)


def _processor(
    config: OperatorConfig, task: Task, places: Places, c_in: int, c_out: int
) -> nn.Module:
    if config.kind in GRID:
        assert places.shape is not None
        known = torch.from_numpy(places.features).float()
        net = GRID[config.kind](config, places.shape, c_in + known.shape[1], c_out)
        return _OnImages(net, places.shape, known)
    assert isinstance(places, DofPlaces)
    inner: Any = config.processor if isinstance(config, SponConfig) else config
    if inner.kind in POINTS:
        return POINTS[inner.kind](inner, places, c_in, c_out)
    levels = partial(make_levels, task, places)
    if inner.kind in LEVELS:
        return LEVELS[inner.kind](inner, levels(inner.levels), c_in, c_out)
    return MessagePassing(inner, levels(1).levels[0], c_in, c_out)


class _OnImages(nn.Module):
    """A network on images (B, c, *shape) as a processor on places (B, n, c)."""

    features: Tensor

    def __init__(self, net: nn.Module, shape: tuple[int, ...], features: Tensor) -> None:
        super().__init__()
        self.net, self.shape = net, shape
        self.register_buffer("features", features, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, self.features.expand(len(x), -1, -1)], dim=-1)
        image = x.transpose(1, 2).reshape(len(x), -1, *self.shape)
        return self.net(image).flatten(2).transpose(1, 2)
