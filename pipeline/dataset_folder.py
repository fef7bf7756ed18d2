"""From a spec to its data set on disk, and back."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from pipeline.imported import ImportedSpec
from pipeline.spec import Spec, data_key, load_spec, parse_spec
from pipeline.spec_errors import SpecError
from storage import (
    FORMAT,
    DamagedFile,
    DataFolder,
    FormatMismatch,
    RevisionMismatch,
    StorageError,
    read_manifest,
)
from storage.files import commit_bytes
from storage.spaces import SpaceTree

__all__ = ["data_folder", "existing", "resolve", "run_stamp", "save_run", "with_own_family"]

_TIME = "%Y%m%dT%H%M%S.%f"


def data_folder(spec: Spec, root: str | Path) -> DataFolder:
    """Return the folder `<root>/<name>-<data key, 10 hex>` of a spec; nothing is created.

    Raises:
        FormatMismatch: A data set of another format stands there.
        RevisionMismatch: One of another data key stands there, or one beside it that was made
            from this very spec by another revision of the package.
    """
    folder = DataFolder(Path(root) / f"{spec.name}-{data_key(spec)[:10]}")
    if folder.spaces.exists():
        _check_made_by(folder, spec)
        return folder
    for other in sorted(Path(root).glob(f"{spec.name}-" + "[0-9a-f]" * 10)):
        if _is_of(spec, DataFolder(other)):
            _check_made_by(DataFolder(other), spec)
    return folder


def _check_made_by(folder: DataFolder, spec: Spec) -> None:
    """Refuse a data set that this version would not make from the spec."""
    found = SpaceTree(folder.spaces)
    if found.get("format") != FORMAT:
        raise FormatMismatch(
            f"{folder.path}: has format {found.get('format')}, this version reads and writes "
            f"format {FORMAT}: it is not extended; use the version that made it, or another root"
        )
    if found.get("data_key") != data_key(spec):
        raise RevisionMismatch(
            f"{folder.path}: was made with data key {str(found.get('data_key'))[:10]}, its spec "
            f"has {data_key(spec)[:10]} in this version: the family, field or mesh was revised, or "
            "a file that it names has changed. Read it, but it is not extended; choose another "
            "name or root"
        )


def _is_of(spec: Spec, folder: DataFolder) -> bool:
    """Whether a data set's spec, read by this version, has the same data key."""
    try:
        return folder.spaces.exists() and data_key(parse_spec(_last_run(folder))) == data_key(spec)
    except (SpecError, StorageError):  # another package's, or damaged: not ours to judge
        return False


def existing(folder: DataFolder) -> DataFolder:
    """Return the folder if it holds a data set.

    Raises:
        StorageError: It doesn't.
    """
    if not folder.shards.is_dir():
        raise StorageError(f"{folder.path}: no data set there; make it with `rekrylov run`")
    return folder


def run_stamp() -> str:
    """Return a new name for a run, in the order of time."""
    return f"{datetime.now(UTC):{_TIME}}-{uuid.uuid4().hex[:8]}"


def save_run(folder: DataFolder, spec: Spec | ImportedSpec, stamp: str) -> Path:
    """Keep the full spec of a run in `runs/<stamp>.yaml`, unless the last run had the same.

    It becomes the last one also where the clock was set back: its stamp is then just after that of
    the last run.

    Returns:
        The file that has the spec.
    """
    text = yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    runs = sorted(folder.runs.glob("*.yaml"))
    if runs and runs[-1].read_bytes() == text.encode():
        file = runs[-1]
    else:
        file = folder.runs / f"{_after(runs[-1].stem, stamp) if runs else stamp}.yaml"
        commit_bytes(file, text.encode(), replace=False)
    if spec.family_file is not None:
        commit_bytes(_family_copy(folder), Path(spec.family_file).read_bytes(), replace=False)
    return file


def _after(last: str, stamp: str) -> str:
    """The stamp, or one a microsecond after the last if it is no later than that."""
    try:
        earliest = datetime.strptime(last[:22], _TIME) + timedelta(microseconds=1)
    except ValueError:  # another's file
        return stamp
    return max(stamp, f"{earliest:{_TIME}}{stamp[22:]}")


def _family_copy(folder: DataFolder) -> Path:
    """The user's family file as the data set keeps it; its content is in the data key."""
    return folder.runs / "family.py"


def with_own_family(raw: Any, folder: DataFolder) -> Any:
    """Return a plain spec whose family, if it is the user's, is the copy that is kept."""
    if isinstance(raw, dict) and raw.get("family_file") and _family_copy(folder).exists():
        return raw | {"family_file": str(_family_copy(folder).resolve())}
    return raw


def resolve(
    target: str | Path, root: str | Path, overrides: list[str] | tuple[str, ...] = ()
) -> tuple[Spec, DataFolder]:
    """Return spec and folder of a target: a spec file, or the folder of a data set.

    A folder's spec is that of its last run.

    Raises:
        SpecError: The target is neither, or the spec is bad.
        DamagedFile: The folder's spec can't be read.
        FormatMismatch, RevisionMismatch: The folder was made by another version.
    """
    path = Path(target)
    if not path.is_dir():
        spec = load_spec(path, overrides)
        return spec, data_folder(spec, root)
    folder = DataFolder(path)
    spec = parse_spec(_last_run(folder), overrides)
    if folder.spaces.exists():
        _check_made_by(folder, spec)
    return spec, folder


def _last_run(folder: DataFolder) -> Any:
    runs = sorted(folder.runs.glob("*.yaml"))
    if runs:
        try:
            return with_own_family(yaml.safe_load(runs[-1].read_text(encoding="utf-8")), folder)
        except (OSError, ValueError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise DamagedFile(f"{runs[-1]}: is no spec ({reason}); remove it") from error
    if folder.manifest.exists():
        return read_manifest(folder)["spec"]
    raise SpecError([f"{folder.path}: not a data set (no runs/*.yaml, no manifest.json)"])
