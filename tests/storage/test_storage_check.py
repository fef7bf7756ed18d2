"""Every damage done here is found, and named by its code; a sound data set has no findings."""

import json
import os
import shutil

import h5py
import numpy as np
import pytest
from synthetic import KINDS, make_dataset, make_tree, write_batch

from storage import (
    DataFolder,
    check_dataset,
    files,
    order,
    read_record,
    spaces_hash,
    split_ids,
    write_spaces,
)
from storage.checks import Recomputed, examine
from storage.hdf5 import build_image


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    root = tmp_path_factory.mktemp("sound")
    return {kind: make_dataset(root, kind, m=2) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_sound(originals, kind):
    assert check_dataset(originals[kind]) == []


SHARD, RECORD = "shards/0000-000001.h5", "shards/0000-000001.json"


def edit_json(place, change):
    value = json.loads(place.read_text())
    change(value)
    place.write_text(json.dumps(value))


def edit_shard(path, change, seal=True):
    """Change a shard; `seal` gives its record the new checksum, as a faulty writer would."""
    with h5py.File(path / SHARD, "r+") as file:
        change(file)
    if seal:
        data = (path / SHARD).read_bytes()
        changes = {"sha256": files.sha256(data), "bytes": len(data)}
        edit_json(path / RECORD, lambda record: record.update(changes))


def put(name, index, value, seal=True):
    return lambda p: edit_shard(p, lambda file: file[name].__setitem__(index, value), seal)


def in_record(**changes):
    return lambda p: edit_json(p / RECORD, lambda record: record.update(changes))


def in_manifest(change):
    return lambda p: edit_json(p / "manifest.json", change)


def attribute(name, value):
    return lambda p: edit_shard(p, lambda file: file.attrs.__setitem__(name, value))


def truncate(p):
    (p / SHARD).write_bytes((p / SHARD).read_bytes()[:-1])


def swap(p):
    other = p / "shards/0000-000002.h5"
    data = other.read_bytes()
    other.write_bytes((p / SHARD).read_bytes())
    (p / SHARD).write_bytes(data)


def other_spaces(p):
    (p / "spaces.h5").unlink()
    write_spaces(p / "spaces.h5", make_tree(m=2) | {"other": 1})


def edit_spaces(p):
    with h5py.File(p / "spaces.h5", "r+") as file:
        file["mesh/points"][0, 0] = 0.5


def drop_column(p):
    edit_shard(p, lambda file: file.__delitem__("outputs/u"))


def twice(p):
    """Batch 1 again under another number."""
    folder, tree = DataFolder(p), make_tree(m=2)
    ids = np.array(read_record(p / RECORD).ids)
    write_batch(folder, "scalar", tree, spaces_hash(folder.spaces), ids, 7)


def lost_from_batch(p):
    record = read_record(p / RECORD)
    edit_json(p / RECORD, lambda value: value.update(ids=list(record.ids[:-1]) + [99]))


def other_order(p):
    (p / "order.h5").unlink()
    order.append_segment(p / "order.h5", range(24))
    order.set_path(p / "order.h5", 0, range(24), [0, 8, 16, 24])


def uncommit(p):
    (p / RECORD).unlink()
    (p / SHARD).unlink()


def float_file(p):
    (p / SHARD).write_bytes(build_image(lambda file: None, 0))


def without_last(manifest):
    """The manifest as it was before the last batch was committed."""
    last = manifest["shards"].pop()
    gone = [i for a in last["ids"] for i in (range(*a) if isinstance(a, list) else [a])]
    manifest["samples"] -= len(gone)
    ids = [i for i in range(24) if i not in gone]
    for name, part in split_ids(
        ids, manifest["splits"]["seed"], manifest["splits"]["fractions"]
    ).items():
        manifest["splits"]["counts"][name] = len(part)


DAMAGES = {
    "truncated": (truncate, {"shard.size"}),
    "bit flipped": (put("outputs/u", (0, 4), 7.0, seal=False), {"shard.checksum"}),
    "shards swapped": (swap, {"shard.checksum", "shard.swapped"}),
    "empty HDF5 file": (float_file, {"shard.size"}),
    "shard lost": (lambda p: (p / SHARD).unlink(), {"shard.missing"}),
    "record lost": (lambda p: (p / RECORD).unlink(), {"shard.orphan", "manifest.stale"}),
    "batch lost": (uncommit, {"batch.open", "manifest.stale"}),
    "record torn": (lambda p: (p / RECORD).write_text("{"), {"record.malformed"}),
    "record of another format": (in_record(format=9), {"record.format"}),
    "record of another data set": (in_record(data_key="x"), {"record.key", "shard.header"}),
    "record of other spaces": (in_record(spaces_hash="x"), {"record.spaces", "shard.spaces"}),
    "record's checksum edited": (in_record(sha256="0" * 64), {"shard.checksum"}),
    "record's size edited": (in_record(bytes=5), {"shard.size"}),
    "foreign failure": (in_record(failures=[{"id": 77, "reason": ""}]), {"ids.batch"}),
    "stored and failed": (in_record(failures=[{"id": 5, "reason": ""}]), {"ids.twice"}),
    "batch twice": (twice, {"ids.twice", "order.batch", "manifest.behind"}),
    "id exchanged": (lost_from_batch, {"ids.batch", "shard.ids"}),
    "shard of another format": (attribute("format", 2), {"shard.header"}),
    "shard of other spaces": (attribute("spaces_hash", "x"), {"shard.spaces"}),
    "shard's ids edited": (put("samples/id", 0, 99), {"shard.ids"}),
    "column lost": (drop_column, {"shard.columns"}),
    "NaN": (put("inputs/a", (2, 3), np.nan), {"values.nonfinite"}),
    "Inf": (put("parameters/c", (2, 1), np.inf), {"values.nonfinite"}),
    "unconverged": (put("solve/true_residual", 3, 1e-7), {"residual.high"}),
    "residual NaN": (put("solve/true_residual", 3, np.nan), {"residual.high"}),
    "boundary": (put("outputs/u", (1, 0), 1e-9), {"values.boundary"}),
    "value in training": (put("inputs/a", slice(None), 3.0), {"manifest.statistics"}),
    "spaces lost": (lambda p: (p / "spaces.h5").unlink(), {"spaces.missing"}),
    "spaces edited": (edit_spaces, {"spaces.damaged"}),
    "other spaces": (other_spaces, {"spaces.manifest", "record.spaces"}),
    "order lost": (lambda p: (p / "order.h5").unlink(), {"order.missing"}),
    "order torn": (lambda p: (p / "order.h5").write_bytes(b"x"), {"order.damaged"}),
    "another order": (other_order, {"ids.batch"}),
    "manifest lost": (lambda p: (p / "manifest.json").unlink(), {"manifest.missing"}),
    "manifest torn": (lambda p: (p / "manifest.json").write_text("{"), {"manifest.malformed"}),
    "manifest's format": (in_manifest(lambda m: m.update(format=2)), {"manifest.format"}),
    "manifest's key": (in_manifest(lambda m: m.update(data_key="x")), {"manifest.key"}),
    "manifest's count": (in_manifest(lambda m: m.update(samples=9)), {"manifest.samples"}),
    "manifest's shards": (
        in_manifest(lambda m: m["shards"].pop()),
        {"manifest.behind", "manifest.samples"},
    ),
    "manifest of before": (in_manifest(without_last), {"manifest.behind"}),
    "manifest's failures": (in_manifest(lambda m: m["failures"].append({})), {"manifest.failures"}),
    "split seed": (in_manifest(lambda m: m["splits"].update(seed=8)), {"manifest.splits"}),
    "split rule": (in_manifest(lambda m: m["splits"].update(rule="x")), {"manifest.splits"}),
    "fields": (in_manifest(lambda m: m["fields"]["u"].update(units="m")), {"manifest.fields"}),
    "no splits": (in_manifest(lambda m: m.pop("splits")), {"manifest.splits"}),
    "statistics": (
        in_manifest(lambda m: m["statistics"]["fields"]["u"].update(mean=0.5)),
        {"manifest.statistics"},
    ),
    "ids of statistics": (
        in_manifest(lambda m: m["statistics"].update(ids=[[0, 3]])),
        {"manifest.statistics"},
    ),
    "leftover": (lambda p: (p / "shards/x.h5.h.1.00000000.tmp").touch(), {"file.leftover"}),
}
HARMLESS = {
    "manifest of before", "record lost", "batch lost", "order lost", "manifest lost", "leftover",
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(originals, tmp_path, damage):
    path = tmp_path / "damaged"
    shutil.copytree(originals["scalar"], path)
    act, codes = DAMAGES[damage]
    act(path)
    found = check_dataset(path)
    assert codes <= {finding.code for finding in found}, found
    assert all(finding.message and "\n" not in finding.message for finding in found)
    if damage not in HARMLESS:
        assert any(finding.severity == "error" for finding in found)


def test_masked_time_steps_may_be_nan_but_used_ones_not(originals, tmp_path):
    path = tmp_path / "time"
    shutil.copytree(originals["time"], path)
    edit_shard(path, lambda file: file["outputs/u"].__setitem__((0, 1, 4), np.nan))
    assert "values.nonfinite" in {finding.code for finding in check_dataset(path)}


def test_full_check_computes_residuals_again(originals):
    path, seen = originals["scalar"], []

    def recompute(ids, columns):
        seen.extend(ids.tolist())
        assert columns["inputs/a"].shape == columns["outputs/u"].shape == (len(ids), 9)
        assert columns["parameters/c"].shape == (len(ids), 3)
        return Recomputed(
            np.select([ids == 11, ids == 12, ids == 13], [1e-6, np.inf, 5e-9], 1e-9),
            {
                "inputs/a": np.where(ids == 14, 1e-3, 0.0),
                "parameters/c": np.where(ids == 15, np.nan, 0),
            },
            "no reason" if 16 in ids else None,
        )

    found = check_dataset(path, recompute=recompute)
    assert sorted(seen) == list(range(24))
    texts = {finding.code: finding.message for finding in found}
    assert "samples [11]" in texts["residual.recomputed"]
    assert "samples [12]" in texts["values.boundary"]
    assert "inputs/a of samples [14]" in texts["inputs.drawn"] or len(found) > 5
    assert sum(finding.code == "inputs.drawn" for finding in found) == 2
    assert "no reason" in texts["inputs.unknown"]
    assert all(finding.location.startswith("shards/0000-") for finding in found)
    with pytest.raises(ValueError, match="quick"):
        check_dataset(path, quick=True, recompute=recompute)
    with pytest.raises(FileNotFoundError):
        check_dataset(path / "nothing")


def test_a_forged_residual_is_found(originals, tmp_path):
    path = shutil.copytree(originals["scalar"], tmp_path / "forged")
    put("solve/true_residual", 3, 1e-15)(path)
    found = check_dataset(path, recompute=lambda ids, columns: Recomputed(np.full(len(ids), 1e-9)))
    assert "residual.stored" in {finding.code for finding in found}


def test_quick_reads_no_shard_and_finds_the_rest(originals, tmp_path, monkeypatch):
    path = shutil.copytree(originals["scalar"], tmp_path / "quick")
    put("outputs/u", (0, 4), 7.0, seal=False)(path)
    monkeypatch.setattr(files, "sha256_file", None)
    assert check_dataset(path, quick=True) == []
    truncate(path)
    assert [finding.code for finding in check_dataset(path, quick=True)] == ["shard.size"]


def test_several_processes_find_the_same(originals, tmp_path):
    path = shutil.copytree(originals["scalar"], tmp_path / "several")
    put("inputs/a", (2, 3), np.nan)(path)
    done = []
    alone, several = examine(path), examine(path, workers=2, progress=done.append)
    assert several == alone and not alone.sound and alone.shards == 3
    assert done == [1, 2, 3]


def die(ids, columns):
    """A process that HDF5, say, kills while it reads one shard."""
    if 5 in ids:
        os._exit(9)
    return Recomputed(np.full(len(ids), 1e-9))


def test_a_process_that_dies_is_a_finding(originals):
    found = examine(originals["scalar"], workers=2, recompute=die)
    (finding,) = found.findings
    assert finding.code == "shard.unreadable" and "died" in finding.message
    assert found.recomputed == 16
