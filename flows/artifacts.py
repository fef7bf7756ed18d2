"""What a flow run shows on the server's page: a text and a table."""

from collections.abc import Mapping
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

__all__ = ["SUMMARY", "TABLE", "markdown", "publish", "rows"]

SUMMARY = "generate-summary"
TABLE = "generate-numbers"


def publish(found: Mapping[str, Any]) -> None:
    """Create both artifacts for the running flow."""
    create_markdown_artifact(markdown(found), key=SUMMARY, description="What the run made")
    create_table_artifact(rows(found), key=TABLE, description="Its numbers")


def markdown(found: Mapping[str, Any]) -> str:
    """Return the summary as text."""
    lines = [
        f"# {found['name']}: {found['stored']} of {found['samples']} samples stored",
        "",
        f"Data set: `{found['folder']}`",
    ]
    if found["failed"]:
        lines += ["", f"**{found['failed']} samples failed**; the manifest lists their reasons."]
    if found.get("report"):
        lines += ["", f"Trained operator: `{found['report']}`"]
    return "\n".join(lines)


def rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the table; numbers as text, since a table cell can't hold an infinity."""
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
    return [{"what": name, "value": _text(value)} for name, value in values.items()]


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
