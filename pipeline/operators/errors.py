"""What can go wrong in training; every message is one line that names the cure."""

from __future__ import annotations

__all__ = ["CheckpointMismatch", "TrainingError"]


class TrainingError(ValueError):
    """The data set, the config or the numbers don't allow training."""


class CheckpointMismatch(TrainingError):
    """A checkpoint doesn't belong to the data set or the code that it is asked to work with."""
