"""Kinds of damage: each a function that damages a copy of a real data set, and what it is called.

`DAMAGES[name]` holds the function, the data set it needs, the code by which a check must name it,
and whether that takes a full check. "Sealed" damage has checksums made right again, as by a faulty
writer or by someone who knows the format; "consistent" damage has all of it made right, the
manifest with its statistics too, so that only drawing and assembling again can tell.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import h5py
import numpy as np
import pytest
import yaml

from pipeline import stages
from pipeline.spec import parse_spec
from storage import (
    DataFolder,
    append_segment,
    build_manifest,
    files,
    read_manifest,
    read_order,
    read_record,
    read_spaces,
    set_path,
    split_ids,
    write_spaces,
)
from storage.ids import pack_ids

DARCY = {
    "name": "whole",
    "seed": 5,
    "samples": 20,
    "problem": {"family": "darcy", "coefficient": {"law": "lognormal"}},
    "mesh": {"domain": "unit_square", "resolution": 5},
    "rtol": 1e-8,
    "solve": {"strategy": {"ksp": "gcrodr", "pc": "jacobi"}},
    "storage": {"shard_size": 4},
    "definitions": {"shifted": {"ood": "mean(a) > 1.5", "seed": 3}},
}
LIFTED = DARCY | {
    "name": "lifted",
    "samples": 8,
    "definitions": {},
    "problem": {
        "family": "poisson",
        "source": {"law": "gaussian"},
        "boundary": {"law": "uniform", "low": 1.0, "high": 2.0},
    },
}
HEAT = DARCY | {
    "name": "heat",
    "samples": 8,
    "definitions": {},
    "problem": {
        "family": "heat",
        "diffusivity": {"law": "lognormal"},
        "start": {"law": "gaussian", "mean": 1.0},
        "end": 0.1,
        "steps": 4,
    },
}
SPECS = {
    "darcy": DARCY,
    "lifted": LIFTED,
    "heat": HEAT,
    "other seed": DARCY | {"seed": 6},
    "other mesh": DARCY | {"mesh": {"domain": "unit_square", "resolution": 6}},
}
BATCH = 2


@cache
def sound_sets(root):
    """Data sets of all kinds, by kind, made once a session; copy one before you damage it."""
    return {kind: make(kind, root / "sound") for kind in SPECS}


def make(kind, root):
    """Make a data set in this process; its folder."""
    spec = parse_spec(json.loads(json.dumps(SPECS[kind])))
    stages.solve(spec, root / kind, quiet=True)
    (path,) = (root / kind).iterdir()
    stages.finalise(spec, DataFolder(path))
    return path


@dataclass(frozen=True)
class Damage:
    """A kind of damage.

    Attributes:
        act: is given the folder and the folders of sound data sets by kind.
        code: by which it is named.
        kind: of the data set.
        full: only a full check can tell.
    """

    act: Callable
    code: str
    kind: str = "darcy"
    full: bool = False


DAMAGES: dict[str, Damage] = {}


def damage(code, **options):
    def add(function):
        DAMAGES[function.__name__.replace("_", " ")] = Damage(function, code, **options)
        return function

    return add


# --- tools


def record_path(place, batch=BATCH):
    return place / f"shards/0000-{batch:06d}.json"


def shard_path(place, batch=BATCH):
    return place / f"shards/0000-{batch:06d}.h5"


def edit_json(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def in_record(place, **changes):
    edit_json(record_path(place), lambda record: record.update(changes))


def in_manifest(place, change):
    edit_json(place / "manifest.json", change)


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def offset_of(path, name):
    """Where an array begins in an HDF5 file."""
    with h5py.File(path) as file:
        where = file[name].id
        chunked = where.get_create_plist().get_layout() == h5py.h5d.CHUNKED
        return where.get_chunk_info(0).byte_offset if chunked else where.get_offset()


def edit_shard(place, change, batch=BATCH):
    with h5py.File(shard_path(place, batch), "r+") as file:
        change(file)


def seal(place):
    """Make all checksums of shards right, in the records and in the manifest's list."""
    for path in sorted((place / "shards").glob("*.json")):
        record = json.loads(path.read_text())
        data = (place / "shards" / record["file"]).read_bytes()
        seen = {"sha256": files.sha256(data), "bytes": len(data)}
        path.write_text(json.dumps(record | seen))

        def listed(manifest, file=record["file"], seen=seen, ids=record["ids"]):
            for shard in manifest["shards"]:
                if shard["file"] == file:
                    shard.update(seen, ids=ids)

        in_manifest(place, listed)


def consistent(place):
    """Make everything right that can be made right without solving: the manifest as well."""
    seal(place)
    old = read_manifest(DataFolder(place))
    built = ("splits", "statistics", "definitions", "shards", "samples", "columns", "fields")
    wanted = {
        name: {
            "description": entry["description"],
            "inputs": entry["inputs"],
            "outputs": entry["outputs"],
            "seed": entry["splits"]["seed"],
            "fractions": entry["splits"]["fractions"],
            "ood": entry["splits"]["ood"]["where"],
        }
        for name, entry in old["definitions"].items()
    }
    rule = old["splits"]
    common = {key: value for key, value in old.items() if key not in built}
    options = {"split_seed": rule["seed"], "fractions": rule["fractions"]}
    build_manifest(DataFolder(place), common, definitions=wanted, **options)


def change_values(place, change, finish=seal, batch=BATCH):
    edit_shard(place, change, batch)
    finish(place)


def other_spaces(place, tree, everywhere=True):
    """Put another tree in, with its hash; everywhere: in shards, records and manifest too."""
    (place / "spaces.h5").unlink()
    digest = write_spaces(place / "spaces.h5", tree)
    if not everywhere:
        return
    for path in (place / "shards").glob("*.json"):
        edit_json(path, lambda record: record.update(spaces_hash=digest))
    for path in (place / "shards").glob("*.h5"):
        with h5py.File(path, "r+") as file:
            file.attrs["spaces_hash"] = digest
    in_manifest(place, lambda manifest: manifest.update(spaces_hash=digest))
    consistent(place)


def interior(place):
    """Dofs of u that are free."""
    tree = read_spaces(place / "spaces.h5")
    field = tree["fields"]["u"]
    return np.setdiff1d(np.arange(tree["spaces"][field["space"]]["dim"]), field["constrained"])


def boundary(place):
    return np.asarray(read_spaces(place / "spaces.h5")["fields"]["u"]["constrained"])


def put(name, index, value):
    return lambda file: file[name].__setitem__(index, value)


# --- bytes of shards


@damage("shard.checksum")
def byte_flipped_in_values(place, sound):
    flip(shard_path(place), offset_of(shard_path(place), "outputs/u") + 3)


@damage("shard.checksum")
def byte_flipped_in_hdf5_metadata(place, sound):
    data = shard_path(place).read_bytes()
    flip(shard_path(place), data.index(b"true_residual") + 4)


@damage("shard.checksum")
def byte_flipped_in_hdf5_signature(place, sound):
    flip(shard_path(place), 1)


@damage("shard.checksum")
def shard_of_zeros(place, sound):
    shard_path(place).write_bytes(bytes(shard_path(place).stat().st_size))


@damage("shard.size")
def shard_truncated(place, sound):
    shard_path(place).write_bytes(shard_path(place).read_bytes()[:-100])


@damage("shard.size")
def shard_emptied(place, sound):
    shard_path(place).write_bytes(b"")


@damage("shard.size")
def shard_extended(place, sound):
    shard_path(place).write_bytes(shard_path(place).read_bytes() + bytes(64))


@damage("shard.missing")
def shard_deleted(place, sound):
    shard_path(place).unlink()


@damage("shard.missing")
def folder_in_place_of_a_shard(place, sound):
    shard_path(place).unlink()
    shard_path(place).mkdir()


@damage("shard.missing")
def link_to_nowhere_in_place_of_a_shard(place, sound):
    shard_path(place).unlink()
    shard_path(place).symlink_to(place / "gone.h5")


@damage("shard.link")
def link_in_place_of_a_shard(place, sound):
    shard_path(place).rename(place / "elsewhere.h5")
    shard_path(place).symlink_to(place / "elsewhere.h5")


@damage("shard.unreadable")
def shard_without_permission(place, sound):
    if os.getuid() == 0:
        pytest.skip("root reads everything")
    shard_path(place).chmod(0)


@damage("shard.swapped")
def shards_swapped(place, sound):
    first, second = shard_path(place, 1).read_bytes(), shard_path(place, 2).read_bytes()
    shard_path(place, 1).write_bytes(second)
    shard_path(place, 2).write_bytes(first)


@damage("shard.orphan")
def shard_that_no_record_names(place, sound):
    shutil.copy(shard_path(place), place / "shards/0000-000002-01234567.h5")


# --- records


@damage("record.malformed")
def record_torn(place, sound):
    record_path(place).write_text(record_path(place).read_text()[:-30])


@damage("record.malformed")
def record_emptied(place, sound):
    record_path(place).write_text("")


@damage("record.malformed")
def record_nested_too_deep(place, sound):
    record_path(place).write_text("[" * 200_000)


@damage("record.malformed")
def record_that_claims_too_many_samples(place, sound):
    in_record(place, ids=[[0, 10**15]])


@damage("record.malformed")
def folder_in_place_of_a_record(place, sound):
    record_path(place).unlink()
    record_path(place).mkdir()


@damage("record.malformed")
def records_swapped(place, sound):
    first, second = record_path(place, 1).read_text(), record_path(place, 2).read_text()
    record_path(place, 1).write_text(second)
    record_path(place, 2).write_text(first)


@damage("shard.orphan")
def record_lost(place, sound):
    record_path(place).unlink()


@damage("batch.open")
def batch_lost(place, sound):
    record_path(place).unlink()
    shard_path(place).unlink()


@damage("record.format")
def record_of_another_format(place, sound):
    in_record(place, format=2)


@damage("record.key")
def record_of_another_data_set(place, sound):
    in_record(place, data_key="0" * 64)


@damage("record.spaces")
def record_of_other_spaces(place, sound):
    in_record(place, spaces_hash="0" * 64)


@damage("shard.checksum")
def checksum_edited(place, sound):
    in_record(place, sha256="0" * 64)


@damage("ids.batch")
def ids_of_a_record_edited(place, sound):
    ids = list(read_record(record_path(place)).ids)
    in_record(place, ids=[*ids[:-1], 99])


@damage("shard.shape")
def sample_declared_failed(place, sound):
    ids = list(read_record(record_path(place)).ids)
    in_record(place, ids=ids[:-1], failures=[{"id": ids[-1], "reason": "said so"}])


@damage("ids.twice")
def sample_stored_and_failed(place, sound):
    ids = list(read_record(record_path(place)).ids)
    in_record(place, failures=[{"id": ids[0], "reason": "said so"}])


@damage("record.malformed")
def record_that_names_the_shard_of_another(place, sound):
    other = json.loads(record_path(place, 0).read_text())
    in_record(place, **{key: other[key] for key in ("file", "sha256", "bytes")})


@damage("record.malformed")
def record_that_names_no_shard_of_its_batch(place, sound):
    in_record(place, file="9" * 300 + ".h5")


@damage("record.malformed")
def record_without_spaces(place, sound):
    in_record(place, spaces_hash=None)


@damage("record.malformed")
def ids_of_a_record_not_whole_numbers(place, sound):
    in_record(place, ids=[i + 0.5 for i in read_record(record_path(place)).ids])


@damage("record.malformed")
def record_whose_key_is_a_list(place, sound):
    in_record(place, data_key=[1])


# --- batches of others


@damage("record.key")
def batch_of_another_seed(place, sound):
    for path in (record_path, shard_path):
        shutil.copy(path(sound["other seed"], 1), path(place, 1))


@damage("inputs.drawn", full=True)
def batch_of_another_seed_with_forged_keys(place, sound):
    """Inputs, solutions and residuals are right: for another seed."""
    ours, theirs = read_record(record_path(place)), sound["other seed"]
    shutil.copy(shard_path(theirs), shard_path(place))

    def forge(file):
        file.attrs["data_key"], file.attrs["spaces_hash"] = ours.data_key, ours.spaces_hash
        file["samples/id"][...] = ours.ids

    change_values(place, forge, consistent)


@damage("ids.twice")
def batch_twice_under_another_number(place, sound):
    record = json.loads(record_path(place).read_text())
    shutil.copy(shard_path(place), shard_path(place, 7))
    edit_shard(place, lambda file: file.attrs.__setitem__("batch", 7), 7)
    data = shard_path(place, 7).read_bytes()
    changes = {"batch": 7, "file": shard_path(place, 7).name, "sha256": files.sha256(data)}
    record_path(place, 7).write_text(json.dumps(record | changes | {"bytes": len(data)}))


@damage("duplicate.inputs")
def samples_again_under_other_ids(place, sound):
    """A segment more, in which everything fits but the samples."""
    ids = np.arange(20, 24)
    append_segment(place / "order.h5", ids, np.zeros((4, 1)))
    set_path(place / "order.h5", 1, range(4), [0, 4])
    name = "0001-000000"
    shutil.copy(shard_path(place), place / f"shards/{name}.h5")
    with h5py.File(place / f"shards/{name}.h5", "r+") as file:
        file.attrs["segment"], file.attrs["batch"] = 1, 0
        file["samples/id"][...] = ids
    record = json.loads(record_path(place).read_text())
    changes = {"segment": 1, "batch": 0, "file": f"{name}.h5", "ids": pack_ids(ids)}
    (place / f"shards/{name}.json").write_text(json.dumps(record | changes))
    consistent(place)


# --- spaces


@damage("spaces.missing")
def spaces_lost(place, sound):
    (place / "spaces.h5").unlink()


@damage("spaces.damaged")
def spaces_of_zero_bytes(place, sound):
    (place / "spaces.h5").write_bytes(b"")


@damage("spaces.damaged")
def spaces_truncated(place, sound):
    path = place / "spaces.h5"
    path.write_bytes(path.read_bytes()[:-200])


@damage("spaces.damaged")
def folder_in_place_of_spaces(place, sound):
    (place / "spaces.h5").unlink()
    (place / "spaces.h5").mkdir()


@damage("spaces.damaged")
def byte_flipped_in_spaces(place, sound):
    flip(place / "spaces.h5", offset_of(place / "spaces.h5", "mesh/points") + 6)


@damage("spaces.manifest")
def spaces_of_another_resolution(place, sound):
    shutil.copy(sound["other mesh"] / "spaces.h5", place / "spaces.h5")


@damage("spaces.foreign")
def mesh_edited_with_its_hash(place, sound):
    tree = read_spaces(place / "spaces.h5")
    tree["mesh"]["points"] = tree["mesh"]["points"] * 1.01
    other_spaces(place, tree, everywhere=False)


@damage("residual.recomputed", full=True)
def mesh_edited_consistently(place, sound):
    tree = read_spaces(place / "spaces.h5")
    tree["mesh"]["points"] = tree["mesh"]["points"] ** 1.5
    other_spaces(place, tree)


@damage("spaces.tables", full=True)
def gram_edited_consistently(place, sound):
    tree = read_spaces(place / "spaces.h5")
    tree["spaces"]["P1"]["grams"]["mass"].data[3] *= 1.5
    other_spaces(place, tree)


@damage("spaces.tables", full=True)
def dof_map_permuted_consistently(place, sound):
    tree = read_spaces(place / "spaces.h5")
    dofmap = tree["spaces"]["P1"]["dofmap"]
    tree["spaces"]["P1"]["dofmap"] = dofmap.max() - dofmap
    other_spaces(place, tree)


@damage("spaces.tables", full=True)
def boundary_forgotten_consistently(place, sound):
    tree = read_spaces(place / "spaces.h5")
    field = tree["fields"]["u"]
    field["constrained"], field["values"] = field["constrained"][:3], field["values"][:3]
    other_spaces(place, tree)


@damage("spaces.tables", kind="lifted", full=True)
def boundary_values_invented(place, sound):
    tree = read_spaces(place / "spaces.h5")
    tree["fields"]["u"]["values"] = np.zeros(len(tree["fields"]["u"]["constrained"]))
    other_spaces(place, tree)


# --- values, with checksums that are right


@damage("values.nonfinite")
def nan_in_an_input(place, sound):
    change_values(place, put("inputs/a", (1, 3), np.nan))


@damage("values.nonfinite")
def infinity_in_a_solution(place, sound):
    change_values(place, put("outputs/u", (1, interior(place)[0]), np.inf))


@damage("values.nonfinite", kind="heat")
def nan_in_a_time_step(place, sound):
    change_values(place, put("outputs/u", (1, 2, 4), np.nan), batch=1)


@damage("manifest.statistics")
def value_changed(place, sound):
    train = read_manifest(DataFolder(place))["splits"]
    ids = np.array(read_record(record_path(place)).ids)
    row = int(np.flatnonzero(np.isin(ids, split_ids(ids, train["seed"])["train"]))[0])
    change_values(place, put("outputs/u", (row, interior(place)[0]), 0.5))


@damage("residual.recomputed", full=True)
def value_changed_consistently(place, sound):
    change_values(place, put("outputs/u", (1, interior(place)[0]), 0.07), consistent)


@damage("residual.recomputed", full=True)
def solution_scaled_consistently(place, sound):
    def scale(file):
        file["outputs/u"][2] = file["outputs/u"][2] * (1 + 1e-6)

    change_values(place, scale, consistent)


@damage("inputs.drawn", full=True)
def input_changed_consistently(place, sound):
    change_values(place, put("inputs/a", (1, 3), 1.0), consistent)


@damage("values.boundary")
def boundary_value_changed(place, sound):
    change_values(place, put("outputs/u", (1, boundary(place)[2]), 1e-6), consistent)


@damage("values.boundary", kind="lifted", full=True)
def boundary_value_of_one_sample_changed(place, sound):
    def shift(file):
        row = file["outputs/u"][1]
        row[boundary(place)[2]] += 1e-6
        file["outputs/u"][1] = row

    change_values(place, shift, consistent, batch=1)


@damage("values.boundary")
def dofs_permuted(place, sound):
    order = np.random.default_rng(0).permutation(36)

    def permute(file):
        file["outputs/u"][...] = file["outputs/u"][()][:, order]

    change_values(place, permute, consistent)


@damage("residual.recomputed", full=True)
def inner_dofs_permuted_consistently(place, sound):
    free = interior(place)
    order = np.random.default_rng(0).permutation(free)

    def permute(file):
        values = file["outputs/u"][()]
        values[:, free] = values[:, order]
        file["outputs/u"][...] = values

    change_values(place, permute, consistent)


@damage("residual.recomputed", full=True)
def inputs_of_two_samples_swapped_consistently(place, sound):
    def swap(file):
        values = file["inputs/a"][()]
        file["inputs/a"][...] = values[[1, 0, *range(2, len(values))]]

    change_values(place, swap, consistent)


@damage("inputs.drawn", full=True)
def ids_of_two_samples_swapped_consistently(place, sound):
    ids = list(read_record(record_path(place)).ids)
    ids[:2] = ids[1::-1]
    in_record(place, ids=ids)
    change_values(place, put("samples/id", slice(None), ids), consistent)


@damage("residual.recomputed", kind="heat", full=True)
def time_steps_permuted_consistently(place, sound):
    def permute(file):
        values = file["outputs/u"][()]
        values[1] = values[1, [1, 0, 3, 2]]
        file["outputs/u"][...] = values

    change_values(place, permute, consistent, batch=1)


@damage("duplicate.outputs")
def solution_stored_twice(place, sound):
    def copy(file):
        file["outputs/u"][1] = file["outputs/u"][0]

    change_values(place, copy, consistent)


@damage("samples.constant")
def input_constant(place, sound):
    change_values(place, put("inputs/a", 1, 1.0), consistent)


@damage("residual.stored", full=True)
def residual_forged_low(place, sound):
    change_values(place, put("solve/true_residual", slice(None), 1e-15), consistent)


@damage("residual.high")
def residual_above_the_tolerance(place, sound):
    change_values(place, put("solve/true_residual", 1, 1e-7), consistent)


@damage("residual.high")
def residual_not_a_number(place, sound):
    change_values(place, put("solve/true_residual", 1, np.nan))


@damage("shard.columns")
def column_lost(place, sound):
    change_values(place, lambda file: file.__delitem__("outputs/u"))


@damage("shard.columns")
def column_of_another_type(place, sound):
    def narrow(file):
        values = file["inputs/a"][()]
        del file["inputs/a"]
        file["inputs/a"] = values.astype(np.float32)

    change_values(place, narrow)


@damage("shard.shape")
def rows_lost_from_a_column(place, sound):
    def cut(file):
        values = file["outputs/u"][:-1]
        del file["outputs/u"]
        file["outputs/u"] = values

    change_values(place, cut)


@damage("shard.shape")
def text_in_place_of_numbers(place, sound):
    def write(file):
        del file["inputs/a"]
        file["inputs/a"] = np.array([b"none"] * 4)

    change_values(place, write)


@damage("shard.header")
def batch_number_of_a_shard_forged(place, sound):
    change_values(place, lambda file: file.attrs.__setitem__("batch", 3))


@damage("shard.header")
def format_of_a_shard_forged(place, sound):
    change_values(place, lambda file: file.attrs.__setitem__("format", 2))


@damage("shard.spaces")
def spaces_hash_of_a_shard_forged(place, sound):
    change_values(place, lambda file: file.attrs.__setitem__("spaces_hash", "0" * 64))


@damage("shard.ids")
def ids_of_a_shard_altered(place, sound):
    change_values(place, put("samples/id", 0, 99))


@damage("shard.unreadable")
def shard_without_ids(place, sound):
    change_values(place, lambda file: file.__delitem__("samples/id"))


@damage("shard.header")
def units_of_a_column_forged(place, sound):
    change_values(place, lambda file: file["outputs/u"].attrs.__setitem__("units", "furlong"))


@damage("solve.values")
def solve_that_diverged(place, sound):
    change_values(place, put("solve/reason", 1, -3), consistent)


@damage("solve.values")
def seconds_not_a_number(place, sound):
    change_values(place, put("solve/seconds", 1, np.nan), consistent)


@damage("solve.values")
def two_samples_at_one_place_of_the_order(place, sound):
    change_values(place, put("samples/order", slice(None), 7), consistent)


@damage("shard.columns", kind="lifted", full=True)
def parameter_lost_everywhere(place, sound):
    for batch in range(2):
        edit_shard(place, lambda file: file.__delitem__("parameters"), batch)
    consistent(place)


# --- order


@damage("order.missing")
def order_lost(place, sound):
    (place / "order.h5").unlink()


@damage("order.damaged")
def order_torn(place, sound):
    path = place / "order.h5"
    path.write_bytes(path.read_bytes()[:-100])


@damage("order.damaged")
def order_of_zero_bytes(place, sound):
    (place / "order.h5").write_bytes(b"")


@damage("order.damaged")
def byte_flipped_in_the_path(place, sound):
    path = place / "order.h5"
    flip(path, offset_of(path, "segments/0000/path") + 1)


@damage("order.damaged")
def byte_flipped_in_the_features(place, sound):
    path = place / "order.h5"
    flip(path, offset_of(path, "segments/0000/features") + 1)


@damage("order.damaged")
def folder_in_place_of_the_order(place, sound):
    (place / "order.h5").unlink()
    (place / "order.h5").mkdir()


@damage("ids.batch")
def order_of_another_run(place, sound):
    shutil.copy(sound["other seed"] / "order.h5", place / "order.h5")


@damage("order.batch")
def order_that_forgets_batches(place, sound):
    (segment,) = read_order(place / "order.h5")
    (place / "order.h5").unlink()
    kept = segment.batch_ids(0)
    append_segment(place / "order.h5", kept, np.zeros((len(kept), 1)))
    set_path(place / "order.h5", 0, range(len(kept)), [0, len(kept)])


# --- manifest


@damage("manifest.missing")
def manifest_lost(place, sound):
    (place / "manifest.json").unlink()


@damage("manifest.malformed")
def manifest_torn(place, sound):
    path = place / "manifest.json"
    path.write_text(path.read_text()[:-40])


@damage("manifest.malformed")
def manifest_of_zero_bytes(place, sound):
    (place / "manifest.json").write_text("")


@damage("manifest.malformed")
def folder_in_place_of_the_manifest(place, sound):
    (place / "manifest.json").unlink()
    (place / "manifest.json").mkdir()


@damage("manifest.format")
def manifest_of_another_format(place, sound):
    in_manifest(place, lambda m: m.update(format=2))


@damage("manifest.key")
def data_key_of_the_manifest_edited(place, sound):
    in_manifest(place, lambda m: m.update(data_key="0" * 64))


@damage("manifest.samples")
def number_of_samples_edited(place, sound):
    in_manifest(place, lambda m: m.update(samples=21))


@damage("manifest.behind")
def shard_forgotten_by_the_manifest(place, sound):
    in_manifest(place, lambda m: m["shards"].pop())


@damage("manifest.stale")
def shard_listed_twice(place, sound):
    in_manifest(place, lambda m: m["shards"].append(m["shards"][0]))


@damage("manifest.stale")
def checksum_in_the_manifest_edited(place, sound):
    in_manifest(place, lambda m: m["shards"][0].update(sha256="0" * 64))


@damage("manifest.failures")
def failure_invented(place, sound):
    in_manifest(place, lambda m: m["failures"].append({"id": 3, "reason": "said so"}))


@damage("manifest.fields")
def units_edited(place, sound):
    in_manifest(place, lambda m: m["fields"]["u"].update(units="m"))


@damage("manifest.columns")
def columns_edited(place, sound):
    in_manifest(place, lambda m: m["columns"]["outputs/u"].update(shape=[35]))


@damage("manifest.splits")
def split_rule_edited(place, sound):
    in_manifest(place, lambda m: m["splits"].update(rule="random"))


@damage("manifest.splits")
def split_counts_edited(place, sound):
    in_manifest(place, lambda m: m["splits"]["counts"].update(train=20))


@damage("manifest.spec")
def split_seed_edited_with_its_counts(place, sound):
    def change(m):
        counts = {name: len(ids) for name, ids in split_ids(range(20), 77).items()}
        m["splits"].update(seed=77, counts=counts)

    in_manifest(place, change)


@damage("manifest.spec")
def tolerance_raised(place, sound):
    in_manifest(place, lambda m: m.update(rtol=1.0))


@damage("manifest.splits")
def sample_added_to_the_ood_split(place, sound):
    def change(m):
        splits = m["definitions"]["shifted"]["splits"]
        splits["ood"]["ids"].append(99)

    in_manifest(place, change)


@damage("manifest.splits")
def ood_split_moved_with_its_counts(place, sound):
    def change(m):
        splits = m["definitions"]["shifted"]["splits"]
        splits["ood"]["ids"] = [0, 1]
        rest = split_ids(range(2, 20), splits["seed"], splits["fractions"])
        splits["counts"] = {name: len(ids) for name, ids in rest.items()} | {"ood": 2}

    in_manifest(place, change)


@damage("manifest.splits")
def condition_of_an_ood_split_edited(place, sound):
    def change(m):
        m["definitions"]["shifted"]["splits"]["ood"]["where"] = "lean(a) > 1.5"

    in_manifest(place, change)


@damage("manifest.statistics")
def statistics_edited(place, sound):
    in_manifest(place, lambda m: m["statistics"]["fields"]["u"].update(mean=0.5))


@damage("manifest.statistics")
def statistics_of_a_definition_edited(place, sound):
    def change(m):
        m["definitions"]["shifted"]["statistics"]["fields"]["a"].update(std=0.5)

    in_manifest(place, change)


@damage("manifest.statistics")
def statistics_lost(place, sound):
    in_manifest(place, lambda m: m.pop("statistics"))


@damage("manifest.problem")
def problem_edited(place, sound):
    in_manifest(place, lambda manifest: manifest["problem"].update(strong=["u - a"]))


@damage("manifest.spec")
def spec_of_the_manifest_edited(place, sound):
    in_manifest(place, lambda manifest: manifest["spec"]["problem"].update(source=2.0))


@damage("manifest.spec")
def licence_edited(place, sound):
    in_manifest(place, lambda manifest: manifest.update(licence="none"))


@damage("manifest.spec")
def definition_invented(place, sound):
    def edit(manifest):
        manifest["definitions"]["invented"] = manifest["definitions"]["shifted"]

    in_manifest(place, edit)


@damage("manifest.spec")
def definition_lost(place, sound):
    in_manifest(place, lambda manifest: manifest.update(definitions={}))


@damage("manifest.spec")
def inputs_of_a_definition_edited(place, sound):
    in_manifest(place, lambda manifest: manifest["definitions"]["shifted"].update(inputs=[]))


@damage("manifest.splits")
def list_in_place_of_definitions(place, sound):
    in_manifest(place, lambda manifest: manifest.update(definitions=[1]))


# --- what is derived, and what lies about


@damage("scalars.missing")
def scalars_lost(place, sound):
    (place / "scalars.h5").unlink()


@damage("scalars.stale")
def scalars_of_other_shards(place, sound):
    shutil.copy(sound["other seed"] / "scalars.h5", place / "scalars.h5")


@damage("scalars.damaged")
def scalars_torn(place, sound):
    path = place / "scalars.h5"
    path.write_bytes(path.read_bytes()[:-100])


@damage("scalars.damaged")
def scalars_edited(place, sound):
    with h5py.File(place / "scalars.h5", "r+") as file:
        names = list(file.attrs["names"])
        file[f"{names.index('iterations'):04d}"][0] += 1


@damage("preview.damaged")
def picture_torn(place, sound):
    path = place / "previews/samples.png"
    path.write_bytes(path.read_bytes()[:-100])


@damage("file.leftover")
def temporary_file_left(place, sound):
    (place / "shards/0000-000002.h5.host.1.00000000.tmp").touch()


@damage("file.foreign")
def foreign_file_among_the_shards(place, sound):
    (place / "shards/notes.txt").write_text("mine")


@damage("run.damaged")
def spec_torn(place, sound):
    (path,) = (place / "runs").glob("*.yaml")
    path.write_text("name: [")


@damage("run.foreign")
def spec_of_another_data_set(place, sound):
    (path,) = (place / "runs").glob("*.yaml")
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"seed": 6}))


@damage("run.missing")
def specs_lost(place, sound):
    shutil.rmtree(place / "runs")


@damage("record.none")
def all_shards_lost(place, sound):
    shutil.rmtree(place / "shards")


@damage("shard.checksum")
def everything_at_once(place, sound):
    byte_flipped_in_values(place, sound)
    shard_path(place, 0).unlink()
    record_path(place, 4).write_text("{")
    manifest_torn(place, sound)
    scalars_torn(place, sound)
    order_lost(place, sound)


def codes(result):
    """Codes of what was found."""
    return {finding.code for finding in result.findings}


__all__ = ["DAMAGES", "SPECS", "codes", "sound_sets"]


@damage("scalars.damaged")
def moments_lost_from_the_scalars(place, sound):
    with h5py.File(place / "scalars.h5", "r+") as file:
        file.attrs["names"] = [name for name in file.attrs["names"] if "(" not in name]


@damage("scalars.damaged", full=True)
def moments_edited_in_the_scalars(place, sound):
    with h5py.File(place / "scalars.h5", "r+") as file:
        column = file[f"{list(file.attrs['names']).index('mean(a)'):04d}"]
        column[...] = column[()] + 1


@damage("preview.damaged")
def byte_flipped_in_a_picture(place, sound):
    path = next((place / "previews").glob("*.png"))
    flip(path, path.stat().st_size // 2)


@damage("preview.damaged")
def file_in_place_of_the_pictures(place, sound):
    shutil.rmtree(place / "previews")
    (place / "previews").write_text("none")


@damage("record.none")
def file_in_place_of_the_shards(place, sound):
    shutil.rmtree(place / "shards")
    (place / "shards").write_text("none")
