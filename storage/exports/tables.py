"""One row a sample: the numbers of `Dataset.scalars` and the split, as CSV or Parquet."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.exports.options import ExportOptions, chosen_fields
from storage.exports.target import new_file, provenance
from storage.splits import split_names

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["export_csv", "export_parquet"]


def export_csv(dataset: Dataset, out: Path, options: ExportOptions) -> list[Path]:
    """Write a CSV file with a line of names; numbers come back bit by bit. No provenance.

    Args:
        dataset: the samples.
        out: the file.
        options: none but `force`.
    """
    table = _table(dataset, options)
    columns = [values.tolist() for values in table.values()]
    with new_file(out, options.force) as path, open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*columns, strict=True))
    options.progress(len(dataset))
    return [out]


def export_parquet(dataset: Dataset, out: Path, options: ExportOptions) -> list[Path]:
    """Write a Parquet file; provenance is in the metadata of its schema. Loads pyarrow.

    Args:
        dataset: the samples.
        out: the file.
        options: none but `force`.
    """
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(_table(dataset, options))
    about = {f"rekrylov_{key}": text for key, text in provenance(dataset).items()}
    with new_file(out, options.force) as path:
        pyarrow.parquet.write_table(table.replace_schema_metadata(about), path)
    options.progress(len(dataset))
    return [out]


def _table(dataset: Dataset, options: ExportOptions) -> dict[str, Any]:
    """Column → (n) values; `split` is the empty text for samples in none."""
    chosen_fields(dataset, options)  # refuses an empty choice
    table: dict[str, Any] = dict(dataset.scalars)
    rule = dataset.manifest.get("splits")
    return table | {"split": split_names(dataset.ids, rule)} if rule else table
