"""The catalogue: what is below a root, as an SQLite index that can be rebuilt from the folders."""

from storage.catalogue.index import Catalogue, Changes, locate, note
from storage.catalogue.query import FACETS, QueryError
from storage.catalogue.summary import Summary, summarise

__all__ = [
    "FACETS",
    "Catalogue",
    "Changes",
    "QueryError",
    "Summary",
    "locate",
    "note",
    "summarise",
]
