"""Data sets of other makers: arrays on a regular grid become a data set of format 1."""

from storage.importing.layout import Layout, read_layout
from storage.importing.parts import Part
from storage.importing.sources import SourceFile, open_source
from storage.importing.writer import content_key, write_samples

__all__ = [
    "Layout",
    "Part",
    "SourceFile",
    "content_key",
    "open_source",
    "read_layout",
    "write_samples",
]
