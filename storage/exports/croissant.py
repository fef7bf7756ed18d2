"""Croissant 1.1: what a data set is, as JSON-LD that catalogues and loaders read.

Its records can't be in HDF5 files, so that shards are described file by file, with checksums, and
the records are those of the table of scalars, which is written beside it.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from storage.citation import SPDX, authors, cite, title
from storage.errors import StorageError
from storage.exports.description import Facts, facts_of
from storage.exports.options import ExportOptions
from storage.exports.tables import export_csv
from storage.exports.target import file_in, new_file
from storage.exports.versions import next_version, previous_metadata
from storage.files import sha256_file
from storage.folder import DataFolder

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["SCALARS", "export_croissant"]

type Json = dict[str, Any]

SCALARS = "scalars.csv"
_NAME = "croissant.json"
_TYPES = {"h5": "application/x-hdf5", "json": "application/json", "csv": "text/csv"}
_TYPES |= {"yaml": "application/yaml", "py": "text/x-python"}
_CR: tuple[str, ...] = (
    "arrayShape",
    "citeAs",
    "column",
    "containedIn",
    "equivalentProperty",
    "extract",
    "field",
)
_CR += ("fileProperty", "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset")
_CR += ("jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex")
_CR += ("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform")
CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
} | {name: f"cr:{name}" for name in _CR}


def export_croissant(dataset: Dataset, out: Path, options: ExportOptions) -> list[Path]:
    """Write `croissant.json` and `scalars.csv` beside it.

    Addresses of files are relative to the data set's folder: both belong there, or into the copy
    of it that is published.

    Args:
        dataset: a whole data set.
        out: the JSON file, or the folder it goes into.
        options: `force`, `progress`.

    Raises:
        StorageError: a file exists and `force` is False; some samples are left out.
    """
    if len(dataset) != dataset.manifest.get("samples"):
        raise StorageError(
            f"{dataset.path}: metadata are of a whole data set, {len(dataset)} of "
            f"{dataset.manifest.get('samples')} samples are chosen; leave --split and --ids out"
        )
    out = file_in(out, _NAME)
    table = out.with_name(SCALARS)
    for path in (out, table):
        if path.exists() and not options.force:
            raise StorageError(
                f"{path}: exists; replace it with --force, which counts the version up"
            )
    previous = previous_metadata(out)
    export_csv(dataset, table, options)
    found = _metadata(dataset, facts_of(dataset), table)
    found["version"] = next_version(previous, found)
    with new_file(out, options.force) as temporary:
        text = json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return [out, table]


def _metadata(dataset: Dataset, facts: Facts, table: Path) -> Json:
    manifest = dataset.manifest
    people = [{"@type": "sc:Person", "name": name} for name in authors(manifest)]
    makers = people or [{"@type": "sc:Organization", "name": f"The makers of {facts.folder}"}]
    when = str((manifest.get("provenance") or {}).get("time", ""))[:10]
    found = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [
            "http://mlcommons.org/croissant/1.1",
            "http://mlcommons.org/croissant/RAI/1.0",
        ],
        "name": re.sub(r"[^A-Za-z0-9_-]", "_", facts.folder),
        "alternateName": title(manifest),
        "description": _description(facts),
        "identifier": str(manifest.get("data_key")),
        "url": manifest.get("url"),
        "license": _licence(facts.licence),
        "creator": makers,
        "datePublished": when or None,
        "citeAs": cite(manifest, "bibtex"),
        "keywords": _keywords(dataset, facts),
        "distribution": [*_files(dataset), _file(table.parent, table)],
        "recordSet": [_splits(dataset, facts), _scalars(table)],
    }
    return {key: value for key, value in (found | _responsible(dataset, facts)).items() if value}


def _description(facts: Facts) -> str:
    given = [f"{n} in {f['space']}" for n, f in facts.fields.items() if f["role"] == "input"]
    asked = [f"{n} in {f['space']}" for n, f in facts.fields.items() if f["role"] == "output"]
    parts = [f"{facts.samples} samples: {', '.join(given)} → {', '.join(asked)}. {facts.summary}"]
    if facts.equations:
        parts.append("Strong form, each 0 in the domain: " + "; ".join(facts.equations) + ".")
    parts.append(f"Mesh: {facts.mesh}. {facts.verified}")
    parts.append(
        "Files are HDF5 shards with the samples on the first axis (inputs/…, outputs/…), and "
        "spaces.h5 with mesh, spaces and Gram matrices."
    )
    return "\n".join(parts)


def _keywords(dataset: Dataset, facts: Facts) -> list[str]:
    family = facts.family.replace("_", " ")
    about = ["operator learning", "partial differential equations", "finite elements", family]
    return [*filter(None, about), f"{dataset.mesh['gdim']}D", str(dataset.mesh["cell_type"])]


def _licence(licence: str) -> str:
    return f"https://spdx.org/licenses/{licence}.html" if licence in SPDX else licence


def _responsible(dataset: Dataset, facts: Facts) -> Json:
    """How the data came to be, in the vocabulary of the RAI extension."""
    random = [f"{name}: {text}" for name, text in facts.laws.items() if "random" in text]
    imported = facts.family == "imported"
    limits = [
        "The functions are those of one mesh; its discretisation error is not in the residual."
    ]
    return {
        "rai:dataCollection": f"{facts.summary} Made with {facts.made}. {facts.verified}",
        "rai:dataCollectionType": ["Others"] if imported else ["Simulations"],
        "rai:dataCollectionMissingData": f"{facts.failed} samples failed and are left out; "
        "manifest.json lists them with their reasons.",
        "rai:dataBiases": [f"Inputs are drawn from these laws: {'; '.join(random)}."]
        if random
        else None,
        "rai:dataLimitations": ["No equation is known."] if imported else limits,
        "rai:dataUseCases": [
            "Learning of the operator from inputs to outputs, and its validation."
        ],
        "rai:personalSensitiveInformation": ["None: numbers of a computation."],
    }


def _files(dataset: Dataset) -> Iterator[Json]:
    """All files of the data set that are not derived, or name it."""
    folder = DataFolder(dataset.path)
    yield _file(folder.path, folder.manifest)
    yield _file(folder.path, folder.spaces)
    if folder.order.exists():
        yield _file(folder.path, folder.order)
    for shard in dataset.manifest["shards"]:
        name = f"shards/{shard['file']}"
        yield _file_object(name, shard["bytes"], shard["sha256"])
    for path in sorted([*folder.shards.glob("*.json"), *folder.runs.glob("*")]):
        if path.is_file() and path.suffix[1:] in _TYPES:
            yield _file(folder.path, path)


def _file(root: Path, path: Path) -> Json:
    return _file_object(path.relative_to(root).as_posix(), path.stat().st_size, sha256_file(path))


def _file_object(name: str, size: int, digest: str) -> Json:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name.rpartition("/")[2],
        "contentUrl": name,
        "contentSize": f"{size} B",
        "encodingFormat": _TYPES[name.rpartition(".")[2]],
        "sha256": digest,
    }


def _splits(dataset: Dataset, facts: Facts) -> Json:
    """The splits as records: how many samples, and the rule that a sample's id is drawn by."""
    rule = dataset.manifest.get("splits") or {}
    rows = [
        {
            "splits/name": name,
            "splits/samples": count,
            "splits/rule": f"{rule['rule']}, seed {rule['seed']}, "
            + ", ".join(f"{key} {value:g}" for key, value in rule["fractions"].items()),
        }
        for name, count in facts.splits.items()
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "Training, validation and test samples, drawn by a hash of (seed, id).",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"},
            {
                "@type": "cr:Field",
                "@id": "splits/samples",
                "name": "samples",
                "dataType": "sc:Integer",
            },
            {"@type": "cr:Field", "@id": "splits/rule", "name": "rule", "dataType": "sc:Text"},
        ],
        "data": rows,
    }


def _scalars(table: Path) -> Json:
    with open(table, newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        names, first = next(reader), next(reader)
    return {
        "@type": "cr:RecordSet",
        "@id": "scalars",
        "name": "scalars",
        "description": "Numbers of every sample, one row each.",
        "key": {"@id": "scalars/id"},
        "field": [_column(name, text) for name, text in zip(names, first, strict=True)],
    }


def _column(name: str, text: str) -> Json:
    kind = "cr:Int64" if re.fullmatch(r"-?\d+", text) else "cr:Float64"
    field: Json = {
        "@type": "cr:Field",
        "@id": f"scalars/{quote(name, safe='()')}",
        "name": name,
        "description": _MEANINGS.get(name, ""),
        "dataType": "sc:Text" if name == "split" else kind,
        "source": {"fileObject": {"@id": SCALARS}, "extract": {"column": name}},
    }
    if name == "split":
        field["references"] = {"field": {"@id": "splits/name"}}
    return field


_MEANINGS = {
    "id": "Sample id.",
    "order": "Position in the order of solving.",
    "iterations": "Applications of the operator, all systems of the sample.",
    "systems": "Linear systems of the sample.",
    "true_residual": "True relative residual, the largest of the time steps.",
    "reason": "PETSc's converged reason.",
    "seconds": "Wall time of the solves.",
    "split": "Which split the sample is in.",
}
