"""Families that users bring: from a Python file, or from an entry point of an installed package."""

import hashlib
import importlib.util
import inspect
import sys
import traceback
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pipeline.families import FAMILIES
from pipeline.family import Family
from pipeline.spec_errors import SpecError, tag_of

__all__ = ["ENTRY_POINTS", "family_error", "find_family", "is_user_family"]

ENTRY_POINTS = "rekrylov.families"


def find_family(tag: Any, file: str | None) -> type[Family] | None:
    """Return the class of a family that is not the package's; None if it is.

    Args:
        tag: What the spec's `problem.family` says.
        file: What `family_file` says, an existing path, or None.

    Raises:
        SpecError: The file can't be loaded or has no such family.
    """
    if file is None:
        if tag in {tag_of(family) for family in FAMILIES}:
            return None
        return _installed(tag)
    path = Path(file)
    found = [m for m in vars(_load(path)).values() if _is_family(m)]
    named = [family for family in found if tag_of(family) == tag]
    if not named:
        names = ", ".join(str(tag_of(family)) for family in found) or "none"
        raise SpecError([f"problem.family: got {tag!r}; {path} has {names}"])
    return named[-1]


def family_error(family: Any, error: Exception) -> SpecError:
    """Return a mistake in a user's family as one line with its place."""
    file, place = inspect.getfile(family), ""
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == file:
            place = f", line {frame.lineno}, in {frame.name}"
    reason = " ".join(str(error).split())
    kind = (
        "" if isinstance(error, ValueError | NotImplementedError) else type(error).__name__ + ": "
    )
    return SpecError([f"family {tag_of(family)!r} ({Path(file).name}{place}): {kind}{reason}"])


def is_user_family(family: type[Family]) -> bool:
    """Whether a family is not one of the package's."""
    return family not in FAMILIES


def _is_family(member: Any) -> bool:
    return (
        isinstance(member, type)
        and issubclass(member, Family)
        and member is not Family
        and member not in FAMILIES
    )


def _installed(tag: Any) -> type[Family] | None:
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == tag:
            family = point.load()
            if not _is_family(family) or tag_of(family) != tag:
                raise SpecError(
                    [f"entry point {point.value}: is not a Family whose key family is {tag!r}"]
                )
            return family  # type: ignore[no-any-return]
    return None


def _load(path: Path) -> Any:
    """Import a file as a module of its own, once for each content."""
    try:
        name = f"rekrylov_family_{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # pydantic looks annotations up there
        spec.loader.exec_module(module)
        return module
    except (Exception, SystemExit) as error:
        sys.modules.pop(locals().get("name", ""), None)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise SpecError([f"family_file: {path} can't be loaded ({reason})"]) from error
