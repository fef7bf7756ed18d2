"""The row of a data set: what is there, what is missing, and that nothing makes it raise."""

import json
import shutil

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import DataFolder, append_segment, open_dataset
from storage.catalogue import Catalogue, summarise
from storage.catalogue.facts import strategy
from storage.catalogue.lineage import lineage
from storage.catalogue.summary import SIZES
from tests.storage.synthetic import KEY, make_dataset, make_tree, write_batch


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("made"), samples=12, shard_size=4, m=2)


@pytest.fixture
def folder(made, tmp_path):
    return DataFolder(shutil.copytree(made, tmp_path / made.name))


def test_a_complete_data_set(folder):
    row = summarise(folder)
    dataset = open_dataset(folder.path)
    assert (row.folder, row.name, row.status) == (f"scalar-{KEY}", "scalar", "complete")
    assert (row.samples, row.failed, row.missing, row.shards) == (12, 0, 0, 3)
    assert row.bytes == sum(path.stat().st_size for path in folder.shards.glob("*.h5"))
    assert row.dofs == dataset.columns["outputs/u"]["shape"][0] == 9
    assert (row.space, row.spaces) == ("p1", "a: p1, u: p1")
    assert row.mean_iterations == 7 and row.worst_residual == 1e-9 and row.rtol == 1e-8
    assert row.data_key == KEY and row.error == ""


def test_what_is_missing_is_counted(folder):
    (folder.shards / "0000-000002.json").unlink()
    assert summarise(folder).status == "damaged"  # the manifest lists it
    folder.manifest.unlink()
    assert (summarise(folder).status, summarise(folder).missing) == ("unfinished", 4)
    append_segment(folder.order, [100, 101, 102])
    assert summarise(folder).missing == 7
    spec = {"name": "mine", "samples": 101, "problem": {"family": "darcy"}}
    spec |= {"mesh": {"domain": "disc"}, "solve": {"strategy": {"ksp": "cg", "pc": "icc"}}}
    (folder.runs / "20260102T030405.1-a.yaml").write_text(yaml.safe_dump(spec))
    row = summarise(folder)
    assert (row.missing, row.samples, row.name, row.family) == (5, 8, "mine", "darcy")
    assert (row.geometry, row.strategy) == ("disc", "cg+icc")
    assert row.created == "2026-01-02T03:04:05Z"


def test_an_extended_data_set_is_incomplete_then_unfinished_then_complete(folder):
    from storage import build_manifest, set_path, spaces_hash

    append_segment(folder.order, [20, 21])
    set_path(folder.order, 1, [1, 0], [0, 2])
    assert (summarise(folder).status, summarise(folder).missing) == ("incomplete", 2)
    import numpy as np

    from storage import ShardHeader, write_shard
    from tests.storage.synthetic import make_columns

    tree, ids = make_tree("scalar", 2), np.array([21, 20])
    header = ShardHeader(KEY, 1, 0, spaces_hash(folder.spaces))
    write_shard(folder, header, make_columns("scalar", tree, ids))
    assert (summarise(folder).status, summarise(folder).missing) == ("unfinished", 0)
    build_manifest(folder, {"name": "scalar", "data_key": KEY, "rtol": 1e-8})
    assert (summarise(folder).status, summarise(folder).samples) == ("complete", 14)


def test_failures_are_a_status(tmp_path):
    path = make_dataset(tmp_path, samples=8, shard_size=4, m=1, failed=(0, 1, 2, 3, 5))
    row = summarise(DataFolder(path))
    assert (row.status, row.samples, row.failed, row.missing) == ("failures", 3, 5, 0)


def test_without_order_the_spec_says_how_many_are_missing(folder):
    manifest = json.loads(folder.manifest.read_text())
    folder.manifest.write_text(json.dumps(manifest | {"spec": {"samples": 15}}))
    folder.order.unlink()
    assert summarise(folder).missing == 3


def test_figures_of_other_shards_are_not_used(folder):
    manifest = json.loads(folder.manifest.read_text())
    manifest["shards"][0]["sha256"] = "0" * 64
    folder.manifest.write_text(json.dumps(manifest))
    assert summarise(folder).worst_residual is None
    folder.scalars.write_bytes(b"")
    assert summarise(folder).status == "complete"


def test_a_verdict_counts_until_the_data_set_changes(folder):
    import os

    verdict = folder.path / "check.json"
    verdict.write_text(json.dumps({"sound": False, "time": "2026-11-29T16:03:18Z"}))
    row = summarise(folder)
    assert (row.status, row.checked) == ("damaged", "damaged 2026-11-29")
    verdict.write_text(json.dumps({"sound": True, "time": "2026-11-29T16:03:18Z"}))
    assert (summarise(folder).status, summarise(folder).checked) == ("complete", "sound 2026-11-29")
    os.utime(verdict, (1, 1))  # older than the manifest
    assert summarise(folder).checked == ""
    verdict.write_text("{")
    assert summarise(folder).status == "complete"


@pytest.mark.parametrize("name", ["manifest.json", "order.h5", "shards/0000-000001.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"{}", b"\xff\xfe", b"\x89HDF"])
def test_damage_is_a_status(folder, name, content):
    (folder.path / name).write_bytes(content)
    if name.startswith("shards"):
        folder.manifest.unlink()
    row = summarise(folder)
    assert row.status == "damaged" and row.error and "\n" not in row.error
    assert row.folder == folder.path.name and row.name == "scalar"


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
KEYS = ["name", "problem", "provenance", "spec", "fields", "columns", "failures", "shards"]
KEYS += ["samples", "rtol", "strategy", "timings", "licence", "citation", "data_key"]
KEYS += ["spaces_hash", "definitions"]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(st.sampled_from(KEYS), junk, min_size=1, max_size=3))
def test_no_manifest_makes_it_raise_or_breaks_the_index(made, catalogue, change):
    manifest = json.loads((made / "manifest.json").read_text()) | change
    folder = catalogue.root / made.name
    (folder / "manifest.json").write_text(json.dumps(manifest))
    row = summarise(DataFolder(folder))
    assert row.status in ("complete", "damaged", "incomplete", "failures", "unfinished")
    catalogue.update(folder.name)
    (found,) = catalogue.find()
    assert found == row
    json.dumps([getattr(row, name) for name in row.__slots__], allow_nan=False)


@pytest.fixture(scope="module")
def catalogue(made, tmp_path_factory):
    root = tmp_path_factory.mktemp("junk")
    shutil.copytree(made, root / made.name)
    return Catalogue(root)


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ({"pilots": [{"picked": "a"}, {"picked": "b"}, {"picked": "b"}]}, "b, a"),
        ({"strategy": {"ksp": "gcrodr", "pc": "ilu"}}, "gcrodr+ilu"),
        ({"strategy": None, "pilots": []}, ""),
        ({}, ""),
    ],
)
def test_the_strategy_in_a_few_words(written, label):
    assert strategy(written) == label


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ksp": "preonly", "pc": "cholesky", "factor_solver": "petsc"},
        {"ksp": "cg", "pc": "cholesky", "reuse": "lagged"},
        {"ksp": "cg", "pc": "cholesky", "reuse": "frozen", "block": 16, "scaling": "diagonal"},
        {"ksp": "cg", "pc": "icc", "guess": "previous"},
    ],
)
def test_a_written_strategy_is_named_as_the_solvers_name_it(options):
    from dataclasses import asdict

    from solvers import Strategy

    solver = Strategy(**options)
    assert strategy({"strategy": asdict(solver)}) == solver.label


def test_sizes_are_classes():
    bounds = list(SIZES.values())
    assert bounds == sorted(bounds) and bounds[-1] == float("inf")


def test_lineage_tells_runs_and_trainings(folder):
    for number, samples in enumerate((10, 12)):
        spec = {"name": "a", "seed": 5, "samples": samples, "mesh": {"domain": "disc"}}
        (folder.runs / f"2026010{number + 1}T000000-x.yaml").write_text(yaml.safe_dump(spec))
    manifest = json.loads(folder.manifest.read_text())
    for name, key in (("fno-1", manifest["data_key"]), ("fno-2", "other")):
        report = {"operator": "fno", "data_key": key, "spaces_hash": manifest["spaces_hash"]}
        (folder.training / name).mkdir(parents=True)
        (folder.training / name / "report.json").write_text(json.dumps(report))
    found = lineage(folder)
    assert found["seed"] == 5 and found["data_key"] == KEY
    assert [run["changed"] for run in found["runs"]] == [{}, {"samples": [10, 12]}]
    assert found["runs"][0]["spec"]["mesh"] == {"domain": "disc"}
    assert [item["on_these_samples"] for item in found["training"]] == [True, False]
    folder.manifest.unlink()
    assert lineage(folder)["data_key"] == KEY


def test_lineage_adds_up_what_the_records_say(tmp_path):
    from storage import set_path, write_spaces

    folder = DataFolder(tmp_path / f"scalar-{KEY}")
    folder.create()
    tree = make_tree("scalar", 1)
    digest = write_spaces(folder.spaces, tree)
    append_segment(folder.order, range(4))
    segment = set_path(folder.order, 0, range(4), [0, 2, 4])
    for batch in range(2):
        info = {
            "seconds": {"solve": 1.5, "all": 2.0},
            "ended": 1.0 + batch,
            "ladders": {str(2 * batch): [["fresh", "converged"]]},
            "pilots": [{"picked": "cg+icc", "trials": []}] if batch == 0 else [],
        }
        write_batch(folder, "scalar", tree, digest, segment.batch_ids(batch), batch, info=info)
    found = lineage(folder)
    assert found["timings"] == {"solve": 3.0, "all": 4.0} and found["picked"] == {"cg+icc": 1}
    assert list(found["ladder"]) == ["0", "2"]
    assert (found["first"], found["last"]) == ("1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z")
