"""Stage `train`: fit and validate an operator on a finalised data set."""

from typing import Any

from pipeline.dataset_folder import existing
from pipeline.progress import progress
from pipeline.spec import Spec
from storage import DataFolder, open_dataset, read_spaces
from storage.catalogue import note

__all__ = ["train"]


def train(spec: Spec, folder: DataFolder, quiet: bool = False) -> Any:
    """Train the spec's operator. Returns its report, or None if the spec has no `train`.

    Raises:
        TrainingError: The data set or the config can't be trained on.
        StorageError: There is no data set, or a shard is damaged.
    """
    if spec.train is None:
        return None
    dataset = open_dataset(existing(folder).path, verify=True)
    if len(dataset):
        dataset.column("samples/id")  # looks at every checksum
    from pipeline.operators import train as fit

    budget = spec.train.budget_seconds
    with progress("train", int(budget or spec.train.epochs), quiet) as task:
        report = fit(
            folder.path,
            spec.train,
            residual=_equations(spec, folder),
            progress=lambda epoch, epochs, metrics: task(
                int(min(budget, metrics["seconds"])) if budget else epoch, _note(metrics)
            ),
        )
    note(folder.path)
    return report


def _equations(spec: Spec, folder: DataFolder) -> Any:
    """The assembled equations, where the loss needs them instead of labels."""
    if spec.train is None or spec.train.loss != "residual":
        return None
    from pipeline.assembled import from_spec

    return from_spec(spec, read_spaces(folder.spaces))


def _note(metrics: dict[str, float]) -> str:
    shown = {k: v for k, v in metrics.items() if k.startswith(("train", "val"))}
    return ", ".join(f"{name} {value:.3g}" for name, value in shown.items())
