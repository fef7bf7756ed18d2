"""DeepONet and MultiONet: an expansion in learnt functions with learnt coefficients.

The branch net reads the inputs at fixed sensors, the trunk net the features of one place. Both
have L layers of equal sizes; with the outputs b_k(x), t_k(place) of layer k,

    y_c(place) = 1/l Σ_{k = L−l+1…L} w_ck ⟨b_kc, t_kc⟩ + β_c

- l = 1: DeepONet (Lu et al., Nature Machine Intelligence 3 (2021) 218);
- l > 1: MultiONet (the output of `yaohua32/DGenNO`): layers before the last count too.

Several output channels c split the layers that count into `basis` functions each (Lu et al.,
CMAME 393 (2022) 114778, on several outputs); weights of MultiONet therefore grow with the
square of the number of channels. GELU after every layer, but for the branch's last one, whose
coefficients have to take both signs. The trunk is evaluated once a batch.

Sensors are chosen by geometry (farthest points), so renumbering the places changes neither
which ones they are nor what the branch's weights mean.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipeline.operators.config.points import DeepONetConfig, MultiONetConfig
from pipeline.operators.fe.places import Places

__all__ = ["MultiONet", "farthest_points"]


class MultiONet(nn.Module):
    """Processor by branch and trunk: (B, n, c_in) → (B, n, c_out). DeepONet is `terms` = 1."""

    features: Tensor
    sensors: Tensor

    def __init__(
        self, config: DeepONetConfig | MultiONetConfig, places: Places, c_in: int, c_out: int
    ) -> None:
        """Choose sensors and set up random weights.

        Args:
            config: sizes.
            places: points (for the sensors) and features (read by the trunk).
            c_in: input channels.
            c_out: output channels.
        """
        super().__init__()
        features = torch.as_tensor(places.features, dtype=torch.float32)
        self.register_buffer("features", features, persistent=False)
        keys = np.hstack([places.points, np.asarray(places.features, dtype=np.float64)])
        sensors = farthest_points(places.points, config.sensors, keys)
        self.register_buffer("sensors", torch.from_numpy(sensors), persistent=False)
        terms = config.terms
        sizes = [config.width] * (config.layers - terms) + [config.basis * c_out] * terms
        self.branch = _linears([len(sensors) * c_in, *sizes])
        self.trunk = _linears([features.shape[1], *sizes])
        self.weight = nn.Parameter(torch.full((terms, c_out), config.basis**-0.5))
        self.bias = nn.Parameter(torch.zeros(c_out))

    def forward(self, x: Tensor) -> Tensor:
        """Return the processed values: (B, n, c_in) → (B, n, c_out)."""
        b, t = x.index_select(1, self.sensors).flatten(1), self.features
        first = len(self.branch) - len(self.weight)
        total: Tensor = self.bias
        for k, (branch, trunk) in enumerate(zip(self.branch, self.trunk, strict=True)):
            b, t = branch(b), functional.gelu(trunk(t))
            if k < len(self.branch) - 1:
                b = functional.gelu(b)
            if k >= first:
                total = total + self._product(b, t, self.weight[k - first])
        return total

    def _product(self, b: Tensor, t: Tensor, weight: Tensor) -> Tensor:
        """Return w_c ⟨b_c, t_c⟩ / l: (B, c · p), (n, c · p) → (B, n, c)."""
        channels = len(weight)
        coefficients = b.unflatten(-1, (channels, -1)) * (weight / len(self.weight))[:, None]
        functions = t.unflatten(-1, (channels, -1))
        return torch.einsum("bcp,ncp->bnc", coefficients, functions)


def _linears(sizes: list[int]) -> nn.ModuleList:
    maps = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    for each in maps:  # PyTorch's own start halves the values in every layer
        nn.init.xavier_normal_(each.weight)
    return nn.ModuleList(maps)


def farthest_points(
    points: NDArray[np.float64], count: int, keys: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Choose up to `count` places spread over the domain, by geometry alone.

    Each is the place farthest from those before it (Gonzalez, 1985). Places are first sorted by
    `keys`, which settles the start and all ties, so numbers of places have no say.

    Args:
        points: (n, g) coordinates.
        count: how many; all n if that's fewer.
        keys: (n, k) sort keys, the first the most important.

    Returns:
        Their numbers, in order of choice; sorted by `keys` if all are taken.
    """
    order = np.lexsort(keys.T[::-1])
    if count >= len(order):
        return order
    ordered = points[order]
    chosen = np.zeros(count, dtype=np.int64)
    distance = np.full(len(order), np.inf)
    distance[0] = -1.0
    for i in range(1, count):
        last = ordered[chosen[i - 1]]
        np.minimum(distance, ((ordered - last) ** 2).sum(axis=1), out=distance)
        chosen[i] = distance.argmax()
        distance[chosen[i]] = -1.0  # coincident places stay at 0 and come last, none twice
    return order[chosen]
