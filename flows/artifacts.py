"""What a flow run shows on the server's page: progress, tables, pictures, links and reports.

Keys begin with the name of the data set's folder, so that the page of a key is its history.
"""

import base64
import math
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from pipeline.chains import all_batches
from storage import DataFolder, read_manifest, read_records

__all__ = ["CATALOGUE", "catalogue_page", "key", "publish", "publish_report", "solving", "table"]

CATALOGUE = "REKRYLOV_CATALOGUE"
"""Environment variable: the address of the web catalogue, if there is one."""

_MOST = 500  # rows of a table: a page is to be looked at
_POLL_SECONDS = 2.0


def key(name: str, what: str) -> str:
    """Return the key of an artifact: lower case letters, digits and dashes, as Prefect wants it."""
    return re.sub("[^a-z0-9]+", "-", f"{name}-{what}".lower()).strip("-")


def catalogue_page(folder: DataFolder) -> str | None:
    """Return the address of the data set's page in the web catalogue, if there is one."""
    base = os.environ.get(CATALOGUE, "").rstrip("/")
    return f"{base}/data/{folder.path.name}" if base else None


@contextmanager
def solving(folder: DataFolder) -> Iterator[None]:
    """Show how many of the batches are committed, as long as the work within goes on."""
    total = max(1, len(all_batches(folder)))

    def done() -> float:
        return min(100.0, 100.0 * len(folder.committed()) / total)

    about = f"Shards of {folder.path.name} that are committed, of {total}"
    artifact: Any = create_progress_artifact(done(), key(folder.path.name, "progress"), about)
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(_POLL_SECONDS):
            with suppress(Exception):  # the server may be away for a while; the work goes on
                update_progress_artifact(artifact, done())

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(10)
        with suppress(Exception):
            update_progress_artifact(artifact, done())


def publish(found: Mapping[str, Any]) -> None:
    """Create the artifacts of a finished data set for the running flow.

    Args:
        found: The summary that the flow `generate` returns.
    """
    folder = DataFolder(Path(found["folder"]))
    name = folder.path.name
    create_markdown_artifact(markdown(found), key(name, "summary"), "What the run made")
    create_table_artifact(numbers(found), key(name, "numbers"), "Its numbers")
    create_table_artifact(shards(folder), key(name, "shards"), "The newest shards")
    if failed := failures(folder):
        create_table_artifact(failed, key(name, "failures"), "Samples that failed, and why")
    if (picture := folder.previews / "samples.png").is_file():
        create_image_artifact(_embedded(picture), key(name, "samples"), "The first samples")
    if (page := catalogue_page(folder)) is not None:
        create_link_artifact(page, name, key(name, "catalogue"), "In the catalogue")


def publish_report(folder: DataFolder, report: str) -> None:
    """Create the artifacts of a training run for the running flow."""
    name = folder.path.name
    text = (Path(report) / "report.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)\n*", "", text)  # the page has no files beside it
    create_markdown_artifact(text, key(name, "training"), f"The report in {report}")
    if (picture := Path(report) / "panel.png").is_file():
        create_image_artifact(_embedded(picture), key(name, "predictions"), "Predictions")


def markdown(found: Mapping[str, Any]) -> str:
    """Return the summary as text."""
    folder = DataFolder(Path(found["folder"]))
    lines = [
        f"# {found['name']}: {found['stored']} of {found['samples']} samples stored",
        "",
        f"Data set: `{folder.path}`",
    ]
    if (page := catalogue_page(folder)) is not None:
        lines += ["", f"[Browse it]({page})"]
    if found["failed"]:
        lines += ["", f"**{found['failed']} samples failed**; the manifest lists their reasons."]
    if found.get("report"):
        lines += ["", f"Trained operator: `{found['report']}`"]
    return "\n".join(lines)


def numbers(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the numbers of a data set as a table."""
    iterations = found.get("iterations") or {}
    values = {
        "samples": found["samples"],
        "stored": found["stored"],
        "failed": found["failed"],
        "shards": found["shards"],
        "iterations, mean": iterations.get("mean"),
        "iterations, most": iterations.get("max"),
        "worst true residual": found.get("worst_true_residual"),
    }
    values |= {f"seconds, {k}": v for k, v in found.get("stage_seconds", {}).items()}
    return table([{"what": name, "value": value} for name, value in values.items()])


def shards(folder: DataFolder) -> list[dict[str, str]]:
    """Return the newest shards as a table, the newest first."""
    records = read_records(folder)[-_MOST:]
    return table(
        [
            {
                "batch": f"{record.segment}-{record.batch}",
                "samples": len(record.ids),
                "failed": len(record.failures),
                "MiB": record.bytes / 2**20,
                "seconds": math.fsum(record.info.get("seconds", {}).values()),
            }
            for record in reversed(records)
        ]
    )


def failures(folder: DataFolder) -> list[dict[str, str]]:
    """Return the samples that failed as a table."""
    failed = read_manifest(folder)["failures"][:_MOST]
    return table([{"sample": f["id"], "reason": f["reason"]} for f in failed])


def table(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return rows as text: a cell of Prefect's tables can't hold an infinity."""
    return [{name: _text(value) for name, value in row.items()} for row in rows]


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _embedded(picture: Path) -> str:
    """The picture in its own address: a server elsewhere can't read our files."""
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
