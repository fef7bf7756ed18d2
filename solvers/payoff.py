"""Whether a recycled space has been worth its applications."""

from dataclasses import dataclass

import numpy as np

COLD, FREE, IMAGES = "cold", "free", "images"


@dataclass(slots=True)
class Payoff:
    """Whether forming B U for a changed operator has been worth its k applications.

    Attributes:
        used: How the present solve started: without space, with C as it was, or with B U.
        cold: Applications of the last solve without a space.
        doubt: Solves to start cold after the next recycled one that doesn't pay.
        rest: Solves still to start cold.
    """

    used: str = COLD
    cold: float = np.inf
    doubt: int = 4
    rest: int = 0

    def allows(self, restart: int) -> bool:
        """Ask before B U is formed."""
        if self.cold > restart + 1 and self.rest == 0:
            return True
        self.rest = max(self.rest - 1, 0)
        self.used = COLD
        return False

    def learn(self, applications: int) -> None:
        """Take note of a converged solve."""
        if self.used == COLD:
            self.cold = applications
        elif self.used == IMAGES and applications > self.cold:
            self.rest, self.doubt = self.doubt, min(4 * self.doubt, 64)
        elif self.used == IMAGES:
            self.doubt = 4
