"""Croissant metadata, validated and read back by MLCommons' own library."""

import hashlib
import json
import logging
from pathlib import Path

import mlcroissant
import numpy as np
import pytest
from synthetic import KEY, make_dataset, make_tree, write_batch

from storage import DataFolder, StorageError, build_manifest, open_dataset, spaces_hash
from storage.exports import FORMATS, ExportOptions

COMMON = {
    "name": "darcy",
    "data_key": KEY,
    "rtol": 1e-8,
    "licence": "CC-BY-4.0",
    "citation": "@misc{a, author = {Ada Lovelace}, title = {T}}",
    "provenance": {"time": "2026-11-29T16:00:00Z", "versions": {"petsc": "3.25"}},
    "problem": {
        "family": "darcy",
        "description": "−∇·(a ∇u) = f in Ω.",
        "strong": ["-f - a*Derivative(u(x), x)"],
        "boundary": [{"type": "dirichlet", "where": "boundary", "expression": ["u - (g)"]}],
        "symbols": {"a": {"meaning": "permeability", "units": "m^2", "law": {"law": "lognormal"}}},
    },
}


def make(root, kind="scalar", common=COMMON, seed=1, **options):
    folder = make_dataset(root, kind, **options)
    build_manifest(DataFolder(folder), common, split_seed=seed)
    return folder


def export(folder, out=None, force=False):
    return FORMATS["croissant"](
        open_dataset(folder), Path(out or folder), ExportOptions(force=force)
    )


def read(folder, caplog):
    """What mlcroissant makes of it; it may neither complain nor warn."""
    with caplog.at_level(logging.WARNING):
        found = mlcroissant.Dataset(folder / "croissant.json")
    issues = found.metadata.ctx.issues
    assert (issues.errors, issues.warnings, caplog.records) == (set(), set(), [])
    return found


@pytest.mark.parametrize("kind", ["scalar", "mixed", "displacement"])
def test_it_is_valid_and_its_records_are_loaded(tmp_path, caplog, kind):
    folder = make(tmp_path, kind, samples=40, failed=(3,))
    written = export(folder)
    assert written == [folder / "croissant.json", folder / "scalars.csv"]
    found, dataset = read(folder, caplog), open_dataset(folder)
    metadata = found.metadata
    assert metadata.ctx.is_v1_1() and metadata.version == "1.0.0"
    assert metadata.license == ["https://spdx.org/licenses/CC-BY-4.0.html"]
    assert [person.name for person in metadata.creators] == ["Lovelace, Ada"]
    assert f"{metadata.date_published:%Y-%m-%d}" == "2026-11-29"
    assert "@misc{a, author" in metadata.cite_as
    said = (
        metadata.description if isinstance(metadata.description, str) else str(metadata.description)
    )
    assert "39 samples: a in p1" in said and "-f - a*Derivative(u(x), x)" in said
    assert "1.00e-09 is the largest" in metadata.data_collection
    assert "1 samples failed" in metadata.data_collection_missing_data
    rows, table = list(found.records("scalars")), dataset.scalars
    assert [row["scalars/id"] for row in rows] == dataset.ids.tolist()
    for name, values in table.items():
        assert np.array_equal([row[f"scalars/{name}"] for row in rows], values), name
    splits = {
        name: set(dataset.split(name).ids.tolist()) for name in ("train", "validation", "test")
    }
    for row in rows:
        assert row["scalars/id"] in splits[row["scalars/split"].decode()]
    counted = {row["splits/name"]: row["splits/samples"] for row in found.records("splits")}
    assert counted == {name: len(ids) for name, ids in splits.items()}


def test_samples_out_of_distribution_are_a_split_of_their_definition(tmp_path, caplog):
    folder = make_dataset(tmp_path, samples=24)
    wanted = {"description": "", "inputs": None, "outputs": None, "seed": 1}
    wanted |= {"fractions": {"train": 0.8, "test": 0.2}, "ood": "mean(a) > 0"}
    build_manifest(DataFolder(folder), COMMON, definitions={"far": wanted})
    dataset = open_dataset(folder).define("far")
    FORMATS["croissant"](dataset, folder, ExportOptions())
    found = read(folder, caplog)
    counted = {row["splits/name"]: row["splits/samples"] for row in found.records("splits")}
    assert counted["ood"] == len(dataset.split("ood")) > 0
    used = {row["scalars/split"].decode() for row in found.records("scalars")}
    assert used <= set(counted)


def test_every_file_is_there_with_its_checksum(tmp_path, caplog):
    folder = make(tmp_path)
    export(folder)
    listed = {file.id: file for file in read(folder, caplog).metadata.file_objects}
    on_disk = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    derived = {"croissant.json", "scalars.h5"}
    assert set(listed) == on_disk - derived
    for name, file in listed.items():
        content = (folder / name).read_bytes()
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert file.content_size == f"{len(content)} B"
    kinds = {name.rpartition(".")[2]: file.encoding_formats for name, file in listed.items()}
    assert kinds["h5"] == ["application/x-hdf5"] and kinds["json"] == ["application/json"]


def test_the_version_counts_what_changed(tmp_path):
    def version(force=True):
        export(folder, force=force)
        return json.loads((folder / "croissant.json").read_text())["version"]

    folder = make(tmp_path / "a", samples=16)
    assert version(force=False) == "1.0.0" == version()
    build_manifest(DataFolder(folder), COMMON | {"licence": "CC0-1.0"}, split_seed=1)
    assert version() == "1.0.1" == version()
    tree, data = make_tree(), DataFolder(folder)
    write_batch(data, "scalar", tree, spaces_hash(data.spaces), np.arange(16, 24), 2)
    build_manifest(DataFolder(folder), COMMON, split_seed=1)
    assert version() == "1.1.0"
    build_manifest(DataFolder(folder), COMMON, split_seed=2)
    assert version() == "2.0.0"
    (folder / "shards/0000-000002.json").unlink()
    build_manifest(DataFolder(folder), COMMON, split_seed=2)
    assert version() == "3.0.0"  # samples went
    (folder / "croissant.json").write_text("{}")
    assert version() == "1.0.0"


def test_it_is_not_replaced_unasked_nor_made_of_a_part(tmp_path):
    folder = make(tmp_path)
    export(folder)
    before = {p: p.read_bytes() for p in (folder / "croissant.json", folder / "scalars.csv")}
    with pytest.raises(StorageError, match="exists; replace it with --force"):
        export(folder)
    with pytest.raises(StorageError, match="of a whole data set"):
        train = open_dataset(folder).split("train")
        FORMATS["croissant"](train, folder, ExportOptions(force=True))
    assert before == {p: p.read_bytes() for p in before}


def test_what_is_not_known_is_not_made_up(tmp_path, caplog):
    common = {"name": "bare", "data_key": KEY, "rtol": None}
    folder = make(tmp_path, common=common)
    export(folder, tmp_path / "elsewhere.json")
    (tmp_path / "elsewhere.json").rename(tmp_path / "croissant.json")
    text = json.loads((tmp_path / "croissant.json").read_text())
    assert "url" not in text and "datePublished" not in text
    assert text["license"] == "unknown" and text["creator"][0]["name"].startswith("The makers of")
    found = mlcroissant.Dataset(tmp_path / "croissant.json")
    assert not found.metadata.ctx.issues.errors
    assert len(list(found.records("scalars"))) == 24
