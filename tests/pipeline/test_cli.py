"""The command line looks at data sets for people and for machines."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "darcy.yaml"
SMALL = ["--set", "samples=24", "--set", "mesh.resolution=8", "--set", "train=null"]


def rekrylov(*arguments, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    found = tmp_path_factory.mktemp("data sets")
    rekrylov("run", EXAMPLE, "--root", found, *SMALL)
    return found


@pytest.fixture(scope="module")
def folder(root):
    (found,) = root.glob("darcy-*")
    return found


def test_stages_one_by_one_do_what_run_does(tmp_path, folder):
    from storage import open_dataset

    for stage in ("sample", "order", "solve", "finalise"):
        rekrylov(stage, EXAMPLE, "--root", tmp_path, *SMALL)
    one = open_dataset(tmp_path / folder.name)
    assert (one[:]["a"] == open_dataset(folder)[:]["a"]).all()
    assert abs(one[:]["u"] - open_dataset(folder)[:]["u"]).max() < 1e-9


def test_status_counts(root, folder):
    found = json.loads(rekrylov("status", folder, "--json"))
    assert (found["stored"], found["failed"], found["missing"]) == (24, 0, 0)
    more = json.loads(rekrylov("status", folder, "--set", "samples=30", "--json"))
    assert more["missing"] == 6
    assert "24 of 24" in rekrylov("status", EXAMPLE, "--root", root, *SMALL)


def test_list_finds_every_data_set_and_survives_a_damaged_one(root, folder):
    (row,) = json.loads(rekrylov("list", "--root", root, "--json"))
    assert (row["name"], row["family"], row["samples"]) == ("darcy", "darcy", 24)
    assert row["status"] == "complete" and row["worst_residual"] <= 1e-8
    bad = root / "bad-0000000000"
    bad.mkdir()
    (bad / "manifest.json").write_text("{")
    try:
        rows = json.loads(rekrylov("list", "--root", root, "--json"))
        assert sorted((r["name"], r["status"]) for r in rows) == [
            ("bad", "damaged"),
            ("darcy", "complete"),
        ]
        assert "damaged" in rekrylov("list", "--root", root)
    finally:
        (bad / "manifest.json").unlink()
        bad.rmdir()


def test_list_of_no_root_is_empty(tmp_path):
    assert json.loads(rekrylov("list", "--root", tmp_path / "none", "--json")) == []


def test_show_says_what_it_is(folder):
    found = json.loads(rekrylov("show", folder, "--json"))
    assert found["problem"]["family"] == "darcy"
    assert found["provenance"]["versions"]["petsc"]
    text = rekrylov("show", folder)
    assert "permeability" in text and "∇·(a ∇u)" in text


def test_check_recomputes_what_is_stored(folder):
    found = json.loads(rekrylov("check", folder, "--full", "--json"))
    assert found["sound"] and found["recomputed"] == 24
    assert 0 < found["worst_residual"] <= 1e-8


def test_the_schema_is_json_schema():
    assert json.loads(rekrylov("schema"))["title"] == "Spec"
    assert "| `samples` |" in rekrylov("schema", "--markdown")


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "none.yaml"],
        ["check", "/"],
        ["frobnicate"],
        ["run", EXAMPLE, "--ranks", "0"],
        ["run", EXAMPLE, "--set", "solve.strategy={ksp: gcrodr, recycle: 39}"],
        ["run", EXAMPLE, "--set", "solve.strategy={ksp: cg, pc: mg}"],
        [],
    ],
    ids=str,
)
def test_bad_arguments_end_with_2_and_one_message(arguments, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and (done.stderr or done.stdout)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("data", ["boundary=1/x", "boundary=log(x)", "source=sqrt(x-0.5)"])
def test_data_that_are_not_finite_are_refused_and_nothing_is_written(tmp_path, data):
    rekrylov("run", EXAMPLE, "--root", tmp_path, *SMALL, "--set", f"problem.{data}", code=2)
    assert not list(tmp_path.iterdir())


def test_failed_samples_say_why_and_can_be_tried_again(tmp_path):
    bad = "solve.strategy={ksp: cg, pc: jacobi, max_it: 2, fallback: false}"
    text = rekrylov("run", EXAMPLE, "--root", tmp_path, *SMALL, "--set", bad, code=3)
    assert "24 failed" in text and "iteration limit" in text
    rekrylov("solve", EXAMPLE, "--root", tmp_path, *SMALL, code=3)
    again = rekrylov("solve", EXAMPLE, "--root", tmp_path, *SMALL, "--retry-failed")
    assert "24 of 24" in again


def test_a_lost_order_file_is_rebuilt_when_a_data_set_is_extended(tmp_path):
    rekrylov("run", EXAMPLE, "--root", tmp_path, *SMALL, "--set", "storage.shard_size=5")
    (folder,) = tmp_path.iterdir()
    (folder / "order.h5").unlink()
    for name in ("h5", "json"):
        (folder / "shards" / f"0000-000001.{name}").unlink()
    rekrylov("run", EXAMPLE, "--root", tmp_path, *SMALL, "--set", "samples=30")
    found = json.loads(rekrylov("check", folder, "--full", "--json"))
    assert found["sound"] and found["recomputed"] == 30 and not found["findings"]


def test_a_lost_spaces_file_is_one_message(tmp_path, folder):
    import shutil

    copy = shutil.copytree(folder, tmp_path / folder.name)
    (copy / "spaces.h5").unlink()
    rekrylov("show", copy, code=3)
