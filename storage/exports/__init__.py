"""Data sets in the layouts of others, for their loaders and viewers.

An export is a function `(dataset, out, options) -> files written`; it streams sample by sample,
appears under its name complete or not at all, and says where its data come from.
`docs/exports.md` describes what is where.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from storage.exports.arrays import export_npz
from storage.exports.card import export_card
from storage.exports.croissant import export_croissant
from storage.exports.neuraloperator import export_neuraloperator
from storage.exports.options import ExportOptions
from storage.exports.pdebench import export_pdebench
from storage.exports.tables import export_csv, export_parquet
from storage.exports.vtkhdf import export_vtkhdf
from storage.exports.well import export_well

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["FORMATS", "Export", "ExportOptions"]

type Export = Callable[[Dataset, Path, ExportOptions], list[Path]]

FORMATS: dict[str, Export] = {
    "well": export_well,
    "pdebench": export_pdebench,
    "neuraloperator": export_neuraloperator,
    "vtkhdf": export_vtkhdf,
    "npz": export_npz,
    "csv": export_csv,
    "parquet": export_parquet,
    "croissant": export_croissant,
    "card": export_card,
}
"""Name of a format → what writes it."""
