"""What a spec says about training. Importing this loads pydantic only."""

from pipeline.operators.config.spon import SponConfig
from pipeline.operators.config.train import Control, OperatorConfig, TrainConfig

__all__ = ["Control", "OperatorConfig", "SponConfig", "TrainConfig"]
