"""One step of AdamW on one or several devices, and what can go wrong in it.

Lightning Fabric places the network on its device and joins processes. Optimiser: Loshchilov and
Hutter, ICLR 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pipeline.operators.config import TrainConfig
from pipeline.operators.errors import TrainingError
from pipeline.operators.training.batches import Batch, Step
from pipeline.operators.training.schedule import Rates
from pipeline.operators.training.state import Position, seed_step

__all__ = ["Loss", "Stepper", "make_fabric"]

type Loss = Callable[[dict[str, Tensor], Batch], Tensor]
OUT_OF_MEMORY = ("DefaultCPUAllocator", "can't allocate memory", "out of memory")


def make_fabric(config: TrainConfig) -> Fabric:
    """Join (or start) the processes of a run.

    With several devices Fabric starts the same command again for each further process, unless
    a launcher did (torchrun, SLURM).

    Raises:
        TrainingError: the device or precision is not to be had here.
    """
    cuda = torch.cuda.is_available() and config.device != "cpu"
    if config.device == "cuda" and not cuda:
        raise TrainingError("`train.device` is cuda, PyTorch finds none; use `device: cpu` or auto")
    if config.precision == "16-mixed" and not cuda:
        raise TrainingError("`train.precision` 16-mixed needs CUDA; use bf16-mixed or 32-true")
    if cuda and config.devices > torch.cuda.device_count():
        raise TrainingError(
            f"`train.devices` is {config.devices}, PyTorch finds {torch.cuda.device_count()}; "
            "use at most that many"
        )
    fabric = Fabric(
        accelerator="cuda" if cuda else "cpu",
        devices=config.devices,
        strategy="ddp" if config.devices > 1 else "auto",
        precision=config.precision,
    )
    fabric.launch()
    return fabric


class Stepper:
    """Network, loss and optimiser on their device."""

    def __init__(self, fabric: Fabric, network: nn.Module, loss: Loss, config: TrainConfig) -> None:
        self.fabric, self.config = fabric, config
        self.loss = loss.to(fabric.device) if isinstance(loss, nn.Module) else loss
        self.adam = torch.optim.AdamW(
            network.parameters(), lr=config.peak_lr, weight_decay=config.weight_decay
        )
        # Fixed sparse matrices are the same on all processes, and can't be broadcast.
        sparse = [name for name, b in network.named_buffers() if b.layout != torch.strided]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(network, sparse)
        self.model, self.optimiser = fabric.setup(network, self.adam)

    def take(self, step: Step, rates: Rates, at: Position) -> None:
        """Change the weights; adds the step's losses and samples to those of the epoch.

        Args:
            step: batches of this process and their weights.
            rates: learning rate and β₁.
            at: where the run is.

        Raises:
            TrainingError: loss or gradient are not finite (the weights are as before), or the
                memory doesn't do.
        """
        config = self.config
        for group in self.adam.param_groups:
            group["lr"], group["betas"] = rates.lr, (rates.beta, group["betas"][1])
        seed_step(config.seed, self.fabric.global_rank, at.steps)
        self.optimiser.zero_grad(set_to_none=True)
        total, count = self._gradients(step)
        where = f"in epoch {at.epoch}, step {at.step + 1} at learning rate {rates.lr:.3g}"
        if not math.isfinite(total):
            raise TrainingError(f"the loss is {total} {where}; lower `train.lr` or `train.clip`")
        norm = self.fabric.clip_gradients(
            self.model, self.optimiser, max_norm=config.clip or math.inf, error_if_nonfinite=False
        )
        # In half precision infinite gradients are usual, the scaler leaves such steps out.
        if config.precision != "16-mixed" and not math.isfinite(float(cast(Tensor, norm))):
            raise TrainingError(f"the gradient is not finite {where}; lower `train.lr`")
        self.optimiser.step()
        at.loss, at.count, at.lr = at.loss + total, at.count + count, rates.lr

    def _gradients(self, step: Step) -> tuple[float, int]:
        """Sum the weighted gradients; returns sum of losses and number of samples, of all."""
        sums = torch.zeros(2, dtype=torch.float64)
        try:
            for k, (host, weight) in enumerate(step):
                batch = host.map(lambda tensor: tensor.to(self.fabric.device, non_blocking=True))
                with self.fabric.no_backward_sync(self.model, enabled=k < len(step) - 1):
                    value = self.loss(self.model(batch.x), batch)
                    self.fabric.backward(value * weight)
                size = len(batch.ids) if weight else 0
                sums += torch.tensor([float(value.detach()) * size if size else 0.0, size])
        except (RuntimeError, MemoryError) as error:
            known = any(text in str(error) for text in OUT_OF_MEMORY)
            if not (known or isinstance(error, MemoryError)):
                raise
            raise TrainingError(
                f"out of memory with {self.config.batch_size} samples a batch; lower "
                "`train.batch_size` (`train.accumulate` keeps the step) or the operator's width"
            ) from error
        sums = cast(Tensor, self.fabric.all_reduce(sums.to(self.fabric.device), reduce_op="sum"))
        return float(sums[0]), int(sums[1])
