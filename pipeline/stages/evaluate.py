"""Stage `evaluate`: a trained operator on a data set, with the error of the mesh beside it."""

from pathlib import Path
from typing import Any

from pipeline.dataset_folder import existing, resolve
from pipeline.imported import ImportedSpec
from pipeline.spec_errors import SpecError
from storage import DataFolder, StorageError, open_dataset

__all__ = ["evaluate"]


def evaluate(
    checkpoint: str | Path,
    folder: str | Path,
    *,
    split: str | None = "test",
    where: str | None = None,
    ids: str | None = None,
    transfer: str | Path | None = None,
    mesh_samples: int = 4,
    out: str | Path | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Evaluate an operator and write its report; see `pipeline.operators.validation.evaluate`.

    Args:
        checkpoint: its file or folder.
        folder: the data set.
        split: of which samples; None: all.
        where: a condition on them.
        ids: these samples alone.
        transfer: the data set it was trained on, where the mesh is another one.
        mesh_samples: how many of them are solved on a finer mesh; 0: none.
        out: folder of the report; beside the checkpoint by default.

    Returns:
        The folder, and what `evaluation.json` says.

    Raises:
        TrainingError, CheckpointMismatch: the operator or the condition doesn't fit.
        StorageError: there is no data set, or it is damaged.
    """
    from pipeline.operators.validation.evaluate import evaluate as run
    from pipeline.operators.validation.evaluation_report import write_evaluation
    from storage.files import read_json

    dataset = open_dataset(existing(DataFolder(Path(folder))).path, verify=True)
    found = run(checkpoint, dataset.path, split=split, where=where, ids=ids, home=transfer)
    mesh = _mesh_error(found, mesh_samples) if mesh_samples else None
    target = found.checkpoint / "evaluation" / found.name if out is None else Path(out)
    write_evaluation(found, target, mesh)
    return target, read_json(target / "evaluation.json")


def _mesh_error(found: Any, count: int) -> Any:
    from pipeline.operators.validation.evaluate import MeshError
    from pipeline.stages.mesh_error import mesh_error

    try:
        spec, _ = resolve(found.samples.path, found.samples.path.parent)
        if isinstance(spec, ImportedSpec):
            return MeshError(skipped="the samples were imported, without their equations")
    except (SpecError, StorageError) as error:
        return MeshError(skipped=f"the data set has no spec of this version ({error})")
    return mesh_error(spec, found.samples, found.operator, count)
