"""The long lists of a data set, page by page: its shards, and the samples that failed."""

from __future__ import annotations

from typing import Any

from storage.catalogue.facts import group, sequence
from storage.web.facts import as_json, text
from storage.web.limits import packed_count
from storage.web.opened import NotThere, OpenDataset

__all__ = ["failures", "shards"]

_PAGE = 50


def shards(opened: OpenDataset, page: int) -> dict[str, Any]:
    """Return one page of the list of shards: file, samples, bytes, checksum."""
    entries = opened.data.manifest["shards"]
    first = _first(page, len(entries))
    rows = [
        {
            "file": text(entry["file"], 200),
            "samples": packed_count(entry["ids"]),
            "bytes": entry["bytes"],
            "sha256": text(entry["sha256"], 64),
        }
        for entry in entries[first : first + _PAGE]
    ]
    return {"rows": rows, "count": len(entries), "page": page, "size": _PAGE}


def failures(opened: OpenDataset, page: int) -> dict[str, Any]:
    """Return one page of the samples that failed: id, reason, and what else is known."""
    found = sequence(opened.data.manifest.get("failures"))
    first = _first(page, len(found))
    rows = []
    for failure in map(group, found[first : first + _PAGE]):
        rest = {k: v for k, v in failure.items() if k not in ("id", "reason")}
        reason = text(failure.get("reason"), 500)
        rows.append({"id": text(failure.get("id"), 30), "reason": reason, "rest": as_json(rest)})
    return {"rows": rows, "count": len(found), "page": page, "size": _PAGE}


def _first(page: int, count: int) -> int:
    if page < 0 or (page and page * _PAGE >= count):
        raise NotThere(f"there is no page {page}")
    return page * _PAGE
