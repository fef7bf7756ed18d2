"""What a comparison asks for: names of its operators, number of trainings, name of its folder."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pipeline.operators.config.compare import CompareConfig
from pipeline.operators.config.train import TrainConfig
from pipeline.operators.errors import TrainingError
from pipeline.operators.zoo import label

__all__ = ["count_trainings", "digest", "names_of"]


def names_of(configs: list[TrainConfig]) -> list[str]:
    """Short names: labels, with the settings that differ where several have one label."""
    labels = [label(config.operator) for config in configs]
    flat = [_flat(config.model_dump(mode="json")) for config in configs]
    names = []
    for name, own in zip(labels, flat, strict=True):
        alike = [other for other, known in zip(flat, labels, strict=True) if known == name]
        keys = [key for key in own if any(other.get(key) != own[key] for other in alike)]
        said = [f"{key.rsplit('.')[-1]}={own[key]}" for key in keys if own[key] is not None]
        names.append(" ".join([name, *said]))
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise TrainingError(f"compare.operators: {doubled[0]} is there twice; leave one out")
    return names


def digest(config: CompareConfig, base: TrainConfig, data_key: str) -> str:
    """What names the folder of a comparison."""
    text = [config.model_dump(mode="json"), base.model_dump(mode="json"), data_key]
    return hashlib.sha256(json.dumps(text, sort_keys=True).encode()).hexdigest()[:10]


def count_trainings(config: CompareConfig) -> int:
    """Number of trainings that a comparison asks for."""
    out = config.out_of_distribution
    anew = out is not None and out.parameter is not None
    passes = 1 + len(config.samples) + len(config.tolerances) + anew
    return len(config.operators) * len(config.seeds) * passes


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    parts = [_flat(v, f"{prefix}.{k}" if prefix else k) for k, v in value.items()]
    return {key: item for part in parts for key, item in part.items()}
