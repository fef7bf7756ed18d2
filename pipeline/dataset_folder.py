"""From a spec to its data set on disk, and back."""

from pathlib import Path
from typing import Any

import yaml

from pipeline.families.darcy import Darcy
from pipeline.problem import Family
from pipeline.spec import FORMAT, Spec, data_key, load_spec, parse_spec
from pipeline.spec_errors import SpecError
from storage import DataFolder, RevisionMismatch, read_manifest
from storage.files import commit_bytes
from storage.spaces import SpaceTree

__all__ = ["data_folder", "family_of", "resolve", "save_run"]


def data_folder(spec: Spec, root: str | Path) -> DataFolder:
    """Return the folder `<root>/<name>-<data key, 10 hex>` of a spec; nothing is created.

    Raises:
        RevisionMismatch: A data set of another key or format stands there.
    """
    folder = DataFolder(Path(root) / f"{spec.name}-{data_key(spec)[:10]}")
    if folder.spaces.exists():
        found = SpaceTree(folder.spaces)
        if found.get("data_key") != data_key(spec) or found.get("format") != FORMAT:
            raise RevisionMismatch(
                f"{folder.path}: holds format {found.get('format')}, data key "
                f"{found.get('data_key')}; this spec needs format {FORMAT}, data key "
                f"{data_key(spec)}: it is not extended, choose another name or root"
            )
    return folder


def family_of(spec: Spec) -> Family:
    """Return the family at work."""
    return Darcy(spec.problem)


def save_run(folder: DataFolder, spec: Spec, stamp: str) -> None:
    """Keep the full spec of a run in `runs/<stamp>.yaml`."""
    text = yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    commit_bytes(folder.runs / f"{stamp}.yaml", text.encode(), replace=False)


def resolve(
    target: str | Path, root: str | Path, overrides: list[str] | tuple[str, ...] = ()
) -> tuple[Spec, DataFolder]:
    """Return spec and folder of a target: a spec file, or the folder of a data set.

    A folder's spec is that of its last run.

    Raises:
        SpecError: The target is neither, or the spec is bad.
        RevisionMismatch: The folder's spec has another data key today: a family was revised.
    """
    path = Path(target)
    if not path.is_dir():
        spec = load_spec(path, overrides)
        return spec, data_folder(spec, root)
    folder = DataFolder(path)
    spec = parse_spec(_last_run(folder), overrides)
    if folder.spaces.exists():
        found = SpaceTree(folder.spaces).get("data_key")
        if found != data_key(spec):
            raise RevisionMismatch(
                f"{path}: made with data key {found}, its spec has {data_key(spec)} in this "
                "version: the family, field or mesh was revised; read it, but do not extend it"
            )
    return spec, folder


def _last_run(folder: DataFolder) -> Any:
    runs = sorted(folder.runs.glob("*.yaml"))
    if runs:
        return yaml.safe_load(runs[-1].read_text(encoding="utf-8"))
    if folder.manifest.exists():
        return read_manifest(folder)["spec"]
    raise SpecError([f"{folder.path}: not a data set (no runs/*.yaml, no manifest.json)"])
