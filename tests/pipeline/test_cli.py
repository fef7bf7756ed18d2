"""The command line looks at data sets for people and for machines."""

import json
from pathlib import Path

import pytest

from pipeline.cli import main

EXAMPLE = Path(__file__).parents[2] / "examples" / "darcy.yaml"
SMALL = ["--set", "samples=24", "--set", "mesh.resolution=8", "--set", "train=null"]


@pytest.fixture(scope="module")
def printed(rekrylov):
    """What a command prints, once it has ended with the code that it should."""

    def run(*arguments, code=0):
        done = rekrylov(*arguments)
        assert done.code == code, done.text
        return done.out

    return run


@pytest.fixture(scope="module")
def root(rekrylov, tmp_path_factory):
    found = tmp_path_factory.mktemp("data sets")
    done = rekrylov("run", EXAMPLE, "--root", found, *SMALL)
    assert done.code == 0 and "24 stored" in done.out, done.text
    return found


@pytest.fixture(scope="module")
def folder(root):
    (found,) = root.glob("darcy-*")
    return found


def test_stages_one_by_one_do_what_run_does(rekrylov, tmp_path, folder):
    from storage import open_dataset

    for stage in ("sample", "order", "solve", "finalise"):
        process = rekrylov.start(stage, EXAMPLE, "--root", tmp_path, *SMALL)
        assert process.wait().code == 0
    one = open_dataset(tmp_path / folder.name)
    assert (one[:]["a"] == open_dataset(folder)[:]["a"]).all()
    assert abs(one[:]["u"] - open_dataset(folder)[:]["u"]).max() < 1e-9


def test_status_counts(printed, root, folder):
    found = json.loads(printed("status", folder, "--json"))
    assert (found["stored"], found["failed"], found["missing"]) == (24, 0, 0)
    more = json.loads(printed("status", folder, "--set", "samples=30", "--json"))
    assert more["missing"] == 6
    assert "24 of 24" in printed("status", EXAMPLE, "--root", root, *SMALL)


def test_list_finds_every_data_set_and_survives_a_damaged_one(printed, root, folder):
    (row,) = json.loads(printed("list", "--root", root, "--json"))
    assert (row["name"], row["family"], row["samples"]) == ("darcy", "darcy", 24)
    assert row["status"] == "complete" and row["worst_residual"] <= 1e-8
    bad = root / "bad-0000000000"
    bad.mkdir()
    (bad / "manifest.json").write_text("{")
    try:
        rows = json.loads(printed("list", "--root", root, "--json"))
        assert sorted((r["name"], r["status"]) for r in rows) == [
            ("bad", "damaged"),
            ("darcy", "complete"),
        ]
        assert "damaged" in printed("list", "--root", root)
    finally:
        (bad / "manifest.json").unlink()
        bad.rmdir()


def test_list_of_no_root_is_empty(printed, tmp_path):
    assert json.loads(printed("list", "--root", tmp_path / "none", "--json")) == []


def test_show_says_what_it_is(printed, folder):
    found = json.loads(printed("show", folder, "--json"))
    assert found["problem"]["family"] == "darcy"
    assert found["provenance"]["versions"]["petsc"]
    text = printed("show", folder)
    assert "permeability" in text and "∇·(a ∇u)" in text


def test_check_recomputes_what_is_stored(printed, folder):
    found = json.loads(printed("check", folder, "--full", "--json"))
    assert found["sound"] and found["recomputed"] == 24
    assert 0 < found["worst_residual"] <= 1e-8


def test_the_schema_is_json_schema(printed):
    assert json.loads(printed("schema"))["title"] == "Spec"
    assert "| `samples` |" in printed("schema", "--markdown")


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
def test_bad_arguments_end_with_2_and_one_message(arguments, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([str(part) for part in arguments])
    said = capfd.readouterr()
    assert ended.value.code == 2
    assert "Traceback" not in said.err and (said.err or said.out)
    assert not list(tmp_path.iterdir())


def test_a_mistake_ends_the_process_with_2(rekrylov):
    done = rekrylov("run", "none.yaml")
    assert done.code == 2 and len(done.messages) == 1 and not done.out


@pytest.mark.parametrize("data", ["boundary=1/x", "boundary=log(x)", "source=sqrt(x-0.5)"])
def test_data_that_are_not_finite_are_refused_and_nothing_is_written(printed, tmp_path, data):
    printed("run", EXAMPLE, "--root", tmp_path, *SMALL, "--set", f"problem.{data}", code=2)
    assert not list(tmp_path.iterdir())


def test_failed_samples_say_why_and_can_be_tried_again(printed, tmp_path):
    bad = "solve.strategy={ksp: cg, pc: jacobi, max_it: 2, fallback: false}"
    text = printed("run", EXAMPLE, "--root", tmp_path, *SMALL, "--set", bad, code=3)
    assert "24 failed" in text and "iteration limit" in text
    printed("solve", EXAMPLE, "--root", tmp_path, *SMALL, code=3)
    again = printed("solve", EXAMPLE, "--root", tmp_path, *SMALL, "--retry-failed")
    assert "24 of 24" in again


def test_a_lost_order_file_is_rebuilt_when_a_data_set_is_extended(printed, tmp_path):
    printed("run", EXAMPLE, "--root", tmp_path, *SMALL, "--set", "storage.shard_size=5")
    (folder,) = tmp_path.iterdir()
    (folder / "order.h5").unlink()
    for name in ("h5", "json"):
        (folder / "shards" / f"0000-000001.{name}").unlink()
    printed("run", EXAMPLE, "--root", tmp_path, *SMALL, "--set", "samples=30")
    found = json.loads(printed("check", folder, "--full", "--json"))
    assert found["sound"] and found["recomputed"] == 30 and not found["findings"]


def test_a_lost_spaces_file_is_one_message(printed, tmp_path, folder):
    import shutil

    copy = shutil.copytree(folder, tmp_path / folder.name)
    (copy / "spaces.h5").unlink()
    printed("show", copy, code=3)
