"""Stage `compare`: the spec's operators against each other, on this data set and others."""

from pathlib import Path
from typing import Any

from pipeline.dataset_folder import data_folder, existing
from pipeline.progress import progress
from pipeline.spec import Spec, parse_spec
from storage import DataFolder, StorageError, open_dataset, read_spaces
from storage.catalogue import note

__all__ = ["compare"]


def compare(spec: Spec, folder: DataFolder, quiet: bool = False) -> tuple[Path, dict[str, Any]]:
    """Train, test and report what `compare` of the spec asks for. Serial.

    Args:
        spec: with `compare`; `train` says how to train.
        folder: the data set; those of other tolerances are beside it.
        quiet: show no progress.

    Returns:
        The folder of the report, and what `comparison.json` says.

    Raises:
        TrainingError: an operator can't be trained, or a test has no samples.
        StorageError: there is no data set, or it is damaged.
    """
    from pipeline.operators.config import TrainConfig
    from pipeline.operators.validation.compare_report import write_comparison
    from pipeline.operators.validation.comparison import compare as run
    from pipeline.operators.validation.comparison_plan import count_trainings, digest
    from storage.files import read_json

    config, base = spec.compare, spec.train or TrainConfig()
    assert config is not None
    dataset = open_dataset(existing(folder).path, verify=True)
    labels = {rtol: _labels(spec, rtol, folder.path.parent, quiet) for rtol in config.tolerances}
    losses = {training.loss for training in config.trainings(base)}
    residual = _equations(spec, folder) if "residual" in losses else None
    with progress("compare", count_trainings(config), quiet) as task:
        found = run(dataset.path, config, base, labels=labels, residual=residual, progress=task)
    name = digest(config, base, str(dataset.manifest["data_key"]))
    target = write_comparison(found, dataset.path / "comparison" / name)
    note(folder.path)
    return target, read_json(target / "comparison.json")


def _labels(spec: Spec, rtol: float, root: Path, quiet: bool) -> Path:
    """The data set of the same samples solved to another tolerance; made if it isn't there.

    Raises:
        SpecError: the stored type can't hold the tolerance.
        StorageError: a sample could not be solved.
    """
    from pipeline import stages

    other = parse_spec(spec.model_dump(mode="json") | {"rtol": rtol})
    folder = data_folder(other, root)
    stages.sample(other, root, quiet)
    stages.order(other, root)
    stages.solve(other, root, quiet=quiet)
    if stages.status(other, folder).missing:
        raise StorageError(f"{folder.path}: not all samples are solved; run the command again")
    stages.finalise(other, folder)
    return folder.path


def _equations(spec: Spec, folder: DataFolder) -> Any:
    from pipeline.assembled import from_spec

    return from_spec(spec, read_spaces(folder.spaces))
