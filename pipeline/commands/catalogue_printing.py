"""What the commands of the catalogue print: tables for people, JSON for machines."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.commands.printing import print_json, print_pairs
from storage import DataFolder, Dataset
from storage.catalogue import Catalogue, Changes, Summary, summarise

__all__ = [
    "print_deleted",
    "print_facets",
    "print_figures",
    "print_index",
    "print_list",
    "print_show",
    "print_table",
    "print_trash",
    "shown_bytes",
]

_BARS = " ▁▂▃▄▅▆▇█"
_COLUMNS = ("data set", "family", "samples", "size", "status", "updated")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> None:
    """Print a table. Nothing in a value is markup."""
    shown = Text(title) if title else None
    table = Table(title=shown, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=place == 0 or column == "spread")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row))
    Console().print(table)


def print_list(rows: Sequence[Summary], count: int, as_json: bool) -> None:
    """Print data sets, and how many there are besides."""
    if as_json:
        return print_json([asdict(row) for row in rows])
    shown = [
        (
            row.folder,
            row.family,
            f"{row.samples:,}",
            shown_bytes(row.bytes),
            _status(row),
            row.updated[:10],
        )
        for row in rows
    ]
    print_table(_COLUMNS, shown)
    for row in rows:
        if row.error:
            print(f"{row.folder}: {row.error}")
    if count > len(rows):
        print(f"{len(rows)} of {count}; --limit {count} or --limit 0 shows all")


def print_facets(found: Mapping[str, Sequence[tuple[str, int]]], as_json: bool) -> None:
    """Print how many data sets have which value of each facet."""
    if as_json:
        return print_json({name: dict(counts) for name, counts in found.items()})
    rows = [
        (name if place == 0 else "", value or "(not known)", count)
        for name, counts in found.items()
        for place, (value, count) in enumerate(counts)
    ]
    print_table(("facet", "value", "data sets"), rows)


def print_show(dataset: Dataset, as_json: bool) -> None:
    """Print what a data set is."""
    manifest = dataset.manifest
    if as_json:
        return print_json({k: v for k, v in manifest.items() if k != "shards"})
    row = summarise(DataFolder(dataset.path))
    problem = manifest.get("problem") or {}
    symbols = problem.get("symbols", {}).items()
    rows: list[tuple[str, Any]] = [
        ("folder", dataset.path),
        ("status", row.status + (f": {row.error}" if row.error else "")),
        ("problem", f"{row.family}: {row.description or problem.get('strong', '')}"),
        ("with", ", ".join(f"{k}: {text}" for k, v in symbols if (text := _said(v)))),
        ("samples", f"{len(dataset)} stored, {row.failed} failed, {row.missing} missing"),
        ("size", f"{shown_bytes(row.bytes)} in {row.shards} shards"),
    ]
    for name, field in dataset.fields.items():
        rows.append((f"{field.role} {name}", f"{field.description}, space {field.space}"))
    counts = manifest["splits"]["counts"].items()
    rows.append(("splits", ", ".join(f"{name} {count}" for name, count in counts)))
    rows += _definitions(manifest.get("definitions") or {})
    rows.append(("solved by", _solved(row)))
    rows.append(("made", f"{row.created or row.updated} by {row.user} on {row.host}"))
    rows.append(("made with", row.versions))
    rows.append(("licence", row.licence))
    rows.append(("trained", f"{row.trained} operators, {row.compared} comparisons"))
    rows.append(("checked", row.checked or "not since it was finalised"))
    print_pairs(row.name, [(name, value) for name, value in rows if value != ""])


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"  # None: of no sample


def print_figures(name: str, found: Mapping[str, Any], as_json: bool) -> None:
    """Print statistics of fields, and percentiles and histograms of scalars."""
    if as_json:
        return print_json(found)
    print(f"{name}: {found['samples']} samples, {found['failed']} failed")
    moments = ("mean", "std", "min", "max")
    fields = found["fields"].items()
    rows = [(field, *(_shown(value[key]) for key in moments)) for field, value in fields]
    print_table(("field", *moments), rows, "fields, training split")
    keys = ("q05", "q50", "q95", "max")
    scalars = [
        (scalar, *(f"{value[key]:.3g}" for key in keys), _bars(value["histogram"]))
        for scalar, value in found["scalars"].items()
        if value["count"]
    ]
    print_table(("scalar", "5 %", "50 %", "95 %", "max", "spread"), scalars, "samples")


def print_deleted(folder: Path, place: Path) -> None:
    """Say where a deleted data set is, and how it comes back."""
    print(f"{folder}: moved to {place}")
    print(f"to restore it: mv {shlex.quote(str(place))} {shlex.quote(str(folder))}")
    print("to remove it for good: rekrylov delete --empty-trash, with the same --root")


def print_trash(found: Sequence[Path]) -> None:
    """Print what is in the trash."""
    if not found:
        print("the trash is empty")
    for path in found:
        row = summarise(DataFolder(path))
        print(f"{path.name}: {row.samples} samples, {shown_bytes(row.bytes)}")


def print_index(root: Path, catalogue: Catalogue, changes: Changes, as_json: bool) -> None:
    """Print what a rebuild found."""
    found = {name: len(getattr(changes, name)) for name in ("added", "changed", "removed")}
    found = {"data sets": catalogue.count(), **found}
    if as_json:
        return print_json({"root": str(root), "in_memory": catalogue.readonly, **found})
    kept = "; not kept, the root can't be written" if catalogue.readonly else ""
    print(f"{root}: " + ", ".join(f"{count} {name}" for name, count in found.items()) + kept)


def shown_bytes(size: int) -> str:
    """A size for people, `1.3 MB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e3:.1f} kB"


def _status(row: Summary) -> str:
    counts = {"incomplete": row.missing, "unfinished": row.missing, "failures": row.failed}
    text = {"incomplete": "missing", "unfinished": "missing", "failures": "failed"}
    count = counts.get(row.status)
    return f"{row.status} ({count} {text[row.status]})" if count else row.status


def _solved(row: Summary) -> str:
    parts = [row.strategy]
    if row.mean_iterations is not None:
        parts.append(f"{row.mean_iterations:.1f} iterations a sample")
    if row.worst_residual is not None:
        parts.append(f"true residuals up to {row.worst_residual:.1e}")
    if row.rtol is not None:
        parts.append(f"rtol {row.rtol:g}")
    if row.seconds is not None:
        parts.append(f"{row.seconds:.3g} s")
    return ", ".join(filter(None, parts))


def _definitions(found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    rows = []
    for name, entry in found.items():
        fields = f"{', '.join(entry['inputs'])} → {', '.join(entry['outputs'])}"
        counts = ", ".join(f"{k} {v}" for k, v in entry["splits"]["counts"].items())
        rows.append((f"definition {name}", f"{fields}; {counts}"))
    return rows


def _said(symbol: Mapping[str, Any]) -> str:
    """A quantity's value, or the name of its law; nothing for other symbols."""
    return str(symbol["value"]) if "value" in symbol else symbol.get("law", {}).get("law", "")


def _bars(histogram: Mapping[str, Any]) -> str:
    """Counts as bars; a bin that isn't empty shows at least the lowest one."""
    counts, most = histogram["counts"], max(histogram["counts"])
    bars = "".join(_BARS[-(-8 * count // most)] for count in counts)
    return f"{bars} (log)" if histogram["log"] else bars
