"""When a preconditioner that was made for another operator no longer pays."""

from dataclasses import dataclass

__all__ = ["Lag"]


@dataclass(slots=True)
class Lag:
    """Keep what was set up until the time lost with it has reached the time of setting up.

    The time lost by a solve is what it took beyond the best one since. That is the rule that rents
    skis until the rent has come up to their price: never more than twice the best choice in
    hindsight.

    Attributes:
        price: Seconds of the last set-up; 0 before.
        best: Seconds of the fastest solve with it.
        lost: Seconds lost since.
    """

    price: float = 0.0
    best: float = float("inf")
    lost: float = 0.0

    @property
    def stale(self) -> bool:
        """Whether to set up anew."""
        return self.lost > self.price

    def set_up(self, seconds: float) -> None:
        """Note a set-up."""
        self.price, self.best, self.lost = seconds, float("inf"), 0.0

    def solved(self, seconds: float) -> None:
        """Note a solve."""
        self.best = min(self.best, seconds)
        self.lost += seconds - self.best
