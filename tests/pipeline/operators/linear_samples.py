"""Learning a linear map: real samples for the loop, small enough to be run many times.

As a script: `linear_samples.py FOLDER CONFIG-JSON [signal@step]` trains and writes the final
weights to FOLDER/final.pt and, for each process, what it saw to FOLDER/rank<k>.json.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import random_array
from torch import nn

from pipeline.operators.config import TrainConfig
from pipeline.operators.fe.sparse import SparseProduct
from pipeline.operators.training.batches import Batch
from pipeline.operators.training.loop import fit, make_fabric

N = 6


class LinearSamples:
    """u = A x for `count` random x, stored in blocks of 8; ids from 100."""

    def __init__(self, count=42, change=None):
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(count, N, 1)).astype(np.float32)
        self.A = torch.from_numpy(np.random.default_rng(1).normal(size=(N, N)).astype(np.float32))
        self.change, self.loads = change, []

    def __len__(self):
        return len(self.x)

    def blocks(self):
        return [np.arange(k, min(k + 8, len(self.x))) for k in range(0, len(self.x), 8)]

    def load(self, rows):
        self.loads.append(np.asarray(rows))
        x = torch.from_numpy(self.x[rows])
        y = (self.A @ x).transpose(1, 2)
        size = {"u": y.flatten(1).norm(dim=1)}
        batch = Batch(torch.from_numpy(rows + 100), x, {"u": y}, size, {})
        return self.change(batch) if self.change else batch


class Network(nn.Module):
    """Linear with dropout (random numbers), and a fixed sparse matrix in between."""

    def __init__(self, dropout=0.1, sparse=True):
        super().__init__()
        torch.manual_seed(3)
        self.linear, self.dropout = nn.Linear(N, N), nn.Dropout(dropout)
        matrix = random_array((N, N), density=0.5, rng=np.random.default_rng(1)) + np.eye(N)
        self.product = SparseProduct(matrix) if sparse else nn.Identity()

    def forward(self, x):
        mixed = self.product(x[..., 0].T).T
        return {"u": self.linear(self.dropout(mixed))[:, None]}


def loss(output, batch):
    error = (output["u"] - batch.y["u"]).flatten(1).norm(dim=1)
    return (error / batch.size["u"]).mean()


def validation(network):
    batch = LinearSamples(30).load(np.arange(30))

    def validate():
        device = next(network.parameters()).device
        with torch.no_grad():
            output = network(batch.x.to(device))
        return {"error": float(loss(output, batch))}

    return validate


def run(folder, config, network=None, samples=None, loss=loss, validate=None, fabric=None, **more):
    """`fit` with all that it needs."""
    network = network or Network()
    options = {"keep": lambda epoch, row: None, "run_key": "a run"} | more
    samples = samples or LinearSamples()
    validate = validate or validation(network)
    folder.mkdir(exist_ok=True, parents=True)
    history = fit(network, loss, samples, validate, config, folder, fabric=fabric, **options)
    return network, history


def main(folder, config, when=None):
    config = TrainConfig.model_validate_json(config)
    torch.set_num_threads(1)
    steps = []

    def watched(output, batch):
        steps.append(batch.ids.tolist())
        if when is not None and len(steps) == int(when.partition("@")[2]):
            os.kill(os.getpid(), getattr(signal, when.partition("@")[0]))
        return loss(output, batch)

    fabric = make_fabric(config)
    network = Network(dropout=0.0 if config.devices > 1 else 0.1)
    network, history = run(Path(folder), config, network, loss=watched, fabric=fabric)
    about = {"rows": history.rows, "steps": steps, "best": history.best_epoch}
    Path(folder, f"rank{fabric.global_rank}.json").write_text(json.dumps(about))
    if fabric.is_global_zero:
        torch.save(network.state_dict(), Path(folder, "final.pt"))


if __name__ == "__main__":
    main(*sys.argv[1:])
