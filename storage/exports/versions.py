"""The version of a data set, MAJOR.MINOR.PATCH, by comparison with its former Croissant metadata.

- MAJOR: samples changed, went or moved to another split;
- MINOR: samples were added;
- PATCH: other files changed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

__all__ = ["next_version", "previous_metadata"]

type Json = dict[str, Any]


def previous_metadata(path: Path) -> Json | None:
    """Read the metadata that are replaced; None if they aren't ours to count on from."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        major, minor, patch = (int(part) for part in str(found["version"]).split("."))
    except (FileNotFoundError, ValueError, KeyError, TypeError, OSError):
        return None
    return found | {"version": (major, minor, patch)}


def next_version(previous: Json | None, found: Json) -> str:
    """Return the version of what was found, after that of `previous_metadata`."""
    if previous is None:
        return "1.0.0"
    major, minor, patch = previous["version"]
    old, new = _checksums(previous), _checksums(found)
    shards = {name: digest for name, digest in old.items() if re.match(r"shards/.*\.h5$", name)}
    kept = all(new.get(name) == digest for name, digest in shards.items())
    if previous.get("identifier") != found["identifier"] or not kept or _moved(previous, found):
        return f"{major + 1}.0.0"
    if any(re.match(r"shards/.*\.h5$", name) for name in set(new) - set(shards)):
        return f"{major}.{minor + 1}.0"
    same = old == new and _plain(previous) == _plain(found)
    return f"{major}.{minor}.{patch if same else patch + 1}"


def _checksums(found: Json) -> dict[str, str]:
    return {file["@id"]: file.get("sha256", "") for file in found.get("distribution", ())}


def _moved(previous: Json, found: Json) -> bool:
    """Whether another rule draws the splits; more samples by the same rule move none."""
    rules = []
    for metadata in (previous, found):
        sets = {item["@id"]: item for item in metadata.get("recordSet", ())}
        rows = sets.get("splits", {}).get("data", ())
        rules.append({row["splits/name"]: row["splits/rule"] for row in rows})
    return rules[0] != rules[1]


def _plain(found: Json) -> Json:
    return {key: value for key, value in found.items() if key != "version"}
