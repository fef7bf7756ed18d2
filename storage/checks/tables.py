"""Checks of `spaces.h5`: its hash, and that it is the one that samples were made with."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from storage.checks.finding import Finding, error, one_line
from storage.checks.records import where
from storage.folder import FORMAT, DataFolder
from storage.records import Record
from storage.spaces import read_spaces, spaces_hash

__all__ = ["boundary_values", "check_spaces", "check_spaces_hash"]

WHERE = "spaces.h5"


def check_spaces(folder: DataFolder, findings: list[Finding]) -> tuple[dict[str, Any], str | None]:
    """Return the tree and the hash of `spaces.h5`; ({}, None) if it can't be trusted."""
    try:
        tree = read_spaces(folder.spaces, verify=True)
        if (format_ := tree.get("format", FORMAT)) != FORMAT:
            text = f"has format {format_}, this package reads format {FORMAT}"
            findings.append(error("spaces.format", WHERE, text))
            return {}, None
        for name, field in tree["fields"].items():
            _check_field(name, field, tree["spaces"][field["space"]])
        return tree, spaces_hash(folder.spaces)
    except FileNotFoundError:
        text = "is missing; `rekrylov repair` makes it again, or restore it from a copy"
        findings.append(error("spaces.missing", WHERE, text))
    except Exception as problem:
        findings.append(error("spaces.damaged", WHERE, one_line(problem)))
    return {}, None


def _check_field(name: str, field: dict[str, Any], space: dict[str, Any]) -> None:
    fixed = np.asarray(field.get("constrained", np.zeros(0, np.int32)))
    values = field.get("values")
    if fixed.size and not (fixed.min() >= 0 and fixed.max() < space["dim"]):
        raise ValueError(f"constrained dofs of {name} are not of its space")
    if values is not None and np.shape(values) != fixed.shape:
        raise ValueError(f"{name} has {np.shape(values)} values on {fixed.shape} constrained dofs")


def check_spaces_hash(
    found: str | None, manifest: dict[str, Any], records: list[Record]
) -> list[Finding]:
    """Manifest and records speak of this `spaces.h5`."""
    if found is None:
        return []
    findings = []
    stated = manifest.get("spaces_hash")
    if manifest and stated != found:
        text = f"hash is {found[:10]}, the manifest says {str(stated)[:10]}"
        findings.append(error("spaces.manifest", WHERE, text))
    others = [record for record in records if record.spaces_hash != found]
    for record in others:
        text = f"was made with spaces {record.spaces_hash[:10]}, spaces.h5 is {found[:10]}"
        findings.append(error("record.spaces", where(record), text))
    if others and Counter(r.spaces_hash for r in records).most_common(1)[0][0] != found:
        text = "most batches were made with another one"
        findings.append(error("spaces.foreign", WHERE, text))
    return findings


def boundary_values(tree: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Output field → (constrained dofs, their values), where all samples share these."""
    return {
        name: (field["constrained"], field["values"])
        for name, field in tree.get("fields", {}).items()
        if "constrained" in field and "values" in field
    }
