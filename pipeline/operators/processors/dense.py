"""A perceptron from all values at all places to all outputs at all places.

    y = W_L σ(… σ(W_0 x + b_0) …) + b_L,   x ∈ ℝ^(n c_in), y ∈ ℝ^(n c_out), σ = GELU

It knows neither geometry nor neighbours, its weights are tied to the numbers of the places, and
it has about width · n · (c_in + c_out) of them: for small spaces, and as a yardstick.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from pipeline.operators.config.points import DenseProcessor
from pipeline.operators.errors import TrainingError
from pipeline.operators.fe.places import Places

__all__ = ["Dense"]


class Dense(nn.Module):
    """Fully connected processor: (B, n, c_in) → (B, n, c_out)."""

    def __init__(self, config: DenseProcessor, places: Places, c_in: int, c_out: int) -> None:
        """Set up random weights.

        Args:
            config: sizes and the largest number of parameters.
            places: only their number counts.
            c_in: input channels.
            c_out: output channels.

        Raises:
            TrainingError: there would be more than `config.max_parameters` parameters.
        """
        super().__init__()
        n = len(places.points)
        sizes = [n * c_in, *[config.width] * config.layers, n * c_out]
        needed = sum((a + 1) * b for a, b in pairwise(sizes))
        if needed > config.max_parameters:  # before anything is allocated
            raise TrainingError(
                f"dense processor: {needed:,} parameters for {n} places with {c_in} inputs and "
                f"{c_out} outputs, at most {config.max_parameters:,} are allowed; lower `width`, "
                "take another processor, or raise `max_parameters`"
            )
        maps = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        hidden = [part for each in maps[:-1] for part in (each, nn.GELU())]
        self.net = nn.Sequential(nn.Flatten(), *hidden, maps[-1], nn.Unflatten(1, (n, c_out)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the processed values: (B, n, c_in) → (B, n, c_out)."""
        return self.net(x)
