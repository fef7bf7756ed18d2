"""What the command line prints: tables for people, JSON for machines."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = [
    "print_comparison",
    "print_evaluation",
    "print_families",
    "print_json",
    "print_pairs",
    "print_prediction",
    "print_report",
    "print_run",
    "print_status",
    "print_summary",
]


def print_json(value: Any) -> None:
    """Print plain data as JSON."""
    print(json.dumps(value, indent=2, default=str))


def print_pairs(title: str, rows: Sequence[tuple[str, Any]]) -> None:
    """Print names with their values. Nothing in a value is markup."""
    table = Table(title=Text(title), show_header=False, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(str(value)))
    Console().print(table)


def print_status(status: Any, as_json: bool = False) -> None:
    """Print the counts of a data set."""
    if as_json:
        return print_json(status.as_dict())
    print(
        f"{status.folder}: {status.stored} of {status.samples} samples stored in "
        f"{status.shards} shards, {status.failed} failed, {status.missing} missing"
    )
    for reason, count in status.reasons.items():
        print(f"{count} failed: {reason}")


def print_families(found: dict[str, str]) -> None:
    """Print the families and what they solve."""
    print_pairs("families", list(found.items()))


def print_summary(found: dict[str, Any]) -> None:
    """Print the summary of a finalised data set."""
    print_pairs(found["name"], _summary_rows(found))


def _summary_rows(found: dict[str, Any]) -> list[tuple[str, Any]]:
    rows = [
        ("data set", found["folder"]),
        ("samples", f"{found['stored']} stored, {found['failed']} failed"),
        ("size", f"{found['bytes'] / 2**20:.1f} MiB in {found['shards']} shards"),
    ]
    rows += [(f"{count} failed", reason) for reason, count in found["reasons"].items()]
    if found["failed"]:
        rows.append(("to try again", "rekrylov solve SPEC --retry-failed"))
    if "iterations" in found:
        iterations = found["iterations"]
        rows.append(("iterations", f"mean {iterations['mean']:.1f}, max {iterations['max']}"))
        rows.append(("worst true residual", f"{found['worst_true_residual']:.2e}"))
        rows.append(("pictures", str(Path(found["folder"]) / "previews")))
    return rows


def print_run(found: dict[str, Any]) -> None:
    """Print the summary of a whole run."""
    times = ", ".join(f"{name} {value:.1f} s" for name, value in found["stage_seconds"].items())
    rows = [*_summary_rows(found), ("time per stage", times)]
    if found["report"] is not None:
        rows += _report_rows(found["report"])
    print_pairs(found["name"], rows)


def print_report(report: Any) -> None:
    """Print the test errors of a trained operator and its controls."""
    print_pairs("training", _report_rows(report))


def _report_rows(report: Any) -> list[tuple[str, Any]]:
    rows = [
        (
            f"test error, {name}",
            f"L2 {report.error(name):.4f}, graph norm {report.error(name, 'graph'):.4f}",
        )
        for name in report.scores
    ]
    return [*rows, ("training report", str(report.folder / "report.md"))]


def print_prediction(found: dict[str, Any], as_json: bool) -> None:
    """Print what was predicted, and how it compares with the solver."""
    if as_json:
        return print_json(found)
    times = ", ".join(f"{name} {value:.3f} s" for name, value in found["seconds"].items())
    rows: list[tuple[str, Any]] = [("samples", found["samples"]), ("time", times)]
    if "errors" in found:
        shown = ", ".join(f"{name} {value:.3%}" for name, value in found["errors"].items())
        rows.append(("mean relative error", shown))
    rows += [("file", file) for file in found["files"]]
    print_pairs("prediction", rows + _rival_rows(found.get("against_solver")))


def _rival_rows(found: dict[str, Any] | None) -> list[tuple[str, Any]]:
    if found is None:
        return []
    network, stored, rival = found["network"], found["stored"], found["rival"]
    at = "" if stored["resolution"] is None else f", resolution {stored['resolution']}"
    rows = [
        (
            "network",
            f"{network['ms_batch_1']:.2f} ms/sample alone, {network['ms_batch_32']:.2f} in "
            f"batches of 32, error {network['error']:.3%}",
        ),
        ("stored solves", f"{stored['ms']:.2f} ms/sample{at}"),
    ]
    if rival is None:
        return [*rows, ("solver of equal error", f"none: {found['no_rival']}")]
    text = f"{rival['ms']:.2f} ms/sample, resolution {rival['resolution']}"
    text += f", error {rival['error']:.3%} ({rival['strategy']})"
    return [*rows, ("solver of equal error", text)]


def print_evaluation(folder: Path, found: dict[str, Any], as_json: bool = False) -> None:
    """Print what an evaluation found."""
    if as_json:
        return print_json(found | {"folder": str(folder)})
    samples = found["samples"]
    seen = f", {samples['seen']} of them trained on" if samples["seen"] else ""
    rows = [("samples", f"{samples['count']} of {samples['which']}{seen}")]
    rows += [(name, _interval(error)) for name, error in found["errors"].items()]
    mesh = found.get("mesh_error")
    if mesh is not None:
        rows.append(("against finer mesh", _against_mesh(mesh)))
    worst = ", ".join(f"{item['id']} ({item['l2']:.3%})" for item in found["worst"][:3])
    times = ", ".join(f"{ms:.3g} ms (batch {b})" for b, ms in found["milliseconds"].items())
    rows += [("worst samples, L2", worst), ("time per sample", times)]
    rows.append(("parameters", f"{found['parameters']:,}"))
    print_pairs(found["operator"], [*rows, ("report", str(folder / "evaluation.md"))])


def print_comparison(folder: Path, found: dict[str, Any], as_json: bool = False) -> None:
    """Print the table of a comparison."""
    if as_json:
        return print_json(found | {"folder": str(folder)})
    table = Table(title=f"test errors on {Path(found['data_set']).name}", title_justify="left")
    for column in ("", "L2", "graph norm", "parameters", "s/epoch", "ms (batch 1)"):
        table.add_column(column, overflow="fold")
    for row in found["table"].values():
        facts = [
            f"{row[key]:{form}}" if key in row else ""
            for key, form in (("parameters", ",.0f"), ("epoch_seconds", ".2g"))
        ]
        time = f"{row['milliseconds_1']:.2g}" if "milliseconds_1" in row else ""
        errors = [_interval(row["errors"][norm]) for norm in ("l2", "graph")]
        table.add_row(row["title"], *errors, *facts, time)
    Console().print(table)
    print(f"report: {folder / 'comparison.md'}")


def _interval(error: dict[str, float | None]) -> str:
    """A mean error with its interval, where there is one."""
    ends = f" ({error['low']:.3%} to {error['high']:.3%})" if error["low"] is not None else ""
    return f"{error['mean']:.3%}{ends}"


def _against_mesh(mesh: dict[str, Any]) -> str:
    if "skipped" in mesh:
        return f"not known: {mesh['skipped']}"
    shown = [
        f"{k} L2 {mesh[k]['l2']:.3%}, graph {mesh[k]['graph']:.3%}" for k in ("network", "mesh")
    ]
    return "; ".join(shown)
