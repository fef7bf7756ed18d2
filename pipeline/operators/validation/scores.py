"""What a training run found: errors of the operator and its controls on the test split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.operators.validation.errors import Errors

if TYPE_CHECKING:
    from pipeline.operators.training.loop import History

__all__ = ["Score", "TrainReport"]


@dataclass(frozen=True, eq=False)
class Score:
    """Errors on the test split.

    Attributes:
        errors: norm → (samples), see `sample_errors`.
        seconds: to predict the split; of controls, to fit as well.
        settings: what was picked on validation.
    """

    errors: Errors
    seconds: float
    settings: dict[str, float | int]

    def summary(self) -> dict[str, Any]:
        """Mean, median and maximum of all errors."""
        picks: dict[str, Any] = {"mean": np.mean, "median": np.median, "max": np.max}
        figures: dict[str, Any] = {
            norm: {name: float(pick(values)) for name, pick in picks.items()}
            for norm, values in self.errors.items()
        }
        return figures | {"seconds": self.seconds, "settings": self.settings}


@dataclass(frozen=True, eq=False)
class TrainReport:
    """What a training run found.

    Attributes:
        operator: its label, "spon".
        scores: operator and controls by name, the operator first.
        history: rows by epoch.
        parameters: number of learnt numbers.
        seconds: of the whole stage; `fit_seconds` of the epochs alone.
        samples: split → number of samples.
        folder: where the files are.
        files: their names.
    """

    operator: str
    scores: dict[str, Score]
    history: History
    parameters: int
    seconds: float
    fit_seconds: float
    samples: dict[str, int]
    folder: Path
    files: tuple[str, ...]

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights were kept, from 1."""
        return self.history.best_epoch

    def error(self, name: str | None = None, norm: str = "l2") -> float:
        """Mean relative test error of the operator, or of a control by name."""
        return float(self.scores[name or self.operator].errors[norm].mean())

    def gain(self, name: str, norm: str = "l2") -> float:
        """How many times smaller the operator's error is than that of a control."""
        return self.error(name, norm) / max(self.error(None, norm), 1e-300)

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return {
            "operator": self.operator,
            "test": {name: score.summary() for name, score in self.scores.items()},
            "best_epoch": self.best_epoch,
            "epochs": len(self.history.rows),
            "parameters": self.parameters,
            "seconds": self.seconds,
            "fit_seconds": self.fit_seconds,
            "samples": self.samples,
            "folder": str(self.folder),
            "files": list(self.files),
        }
