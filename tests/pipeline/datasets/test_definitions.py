"""Problem definitions from the spec to a tested operator, on the command line."""

import json
import shutil

import numpy as np
import pytest
from runs import folder_of

from storage import open_dataset

FAR = "definitions.far={ood: 'std(a) > 0.3', splits: {train: 0.6, validation: 0.2, test: 0.2}}"


@pytest.fixture
def folder(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "root")
    return folder_of(tmp_path / "root").path


def test_a_definition_is_added_learnt_and_tested_out_of_range(rekrylov, folder):
    done = rekrylov("finalise", folder, "--set", FAR)
    assert done.code == 0, done.text
    ds = open_dataset(folder)
    far = ds.define("far")
    size = {name: len(far.split(name)) for name in ("train", "validation", "test", "ood")}
    assert sum(size.values()) == len(ds) and min(size.values()) > 0, size
    assert (far.split("ood").scalars["std(a)"] > 0.3).all()
    assert (far.split("train").scalars["std(a)"] <= 0.3).all()
    again = rekrylov("finalise", folder)  # the run that asked for it is kept
    assert again.code == 0 and "far" in open_dataset(folder).manifest["definitions"]

    train = "train={definition: far, epochs: 1, controls: []}"
    done = rekrylov("train", folder, "--set", train, timeout=120)
    assert done.code == 0, done.text
    (trained,) = (folder / "training").glob("spon-*")
    about = json.loads((trained / "report.json").read_text())
    assert about["samples"] == {name: size[name] for name in ("train", "validation", "test")}
    options = ["--mesh-samples", "0", "--json"]
    done = rekrylov("evaluate", trained, folder, "--split", "ood", *options, timeout=120)
    assert done.code == 0, done.text
    found = json.loads(done.out)["samples"]
    assert found["count"] == size["ood"] and found["seen"] == 0
    done = rekrylov(
        "evaluate",
        trained,
        folder,
        "--split",
        "train",
        "--mesh-samples",
        "0",
        "--json",
        timeout=120,
    )
    found = json.loads(done.out)["samples"]  # of the definition it has learnt
    assert found["count"] == found["seen"] == size["train"]


def test_what_does_not_fit_the_data_is_refused_and_not_kept(rekrylov, folder):
    before = (folder / "manifest.json").read_bytes()
    done = rekrylov("finalise", folder, "--set", "definitions.odd={ood: 'rms(a) > 1'}")
    assert done.code == 2 and "described by ['mean(a)', 'std(a)']" in done.text, done.text
    assert (folder / "manifest.json").read_bytes() == before
    assert rekrylov("finalise", folder).code == 0


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("{ood: 'mean(b) > 1'}", "definitions.odd.ood: 'b' is not one of a"),
        ("{ood: 'a is large'}", "expected NAME < NUMBER"),
        ("{outputs: [p]}", "definitions.odd.outputs: 'p' is not one of u"),
        ("{splits: {train: 0.9, validation: 0.2}}", "the shares add up to"),
    ],
)
def test_an_impossible_definition_writes_nothing(rekrylov, spec, tmp_path, wanted, said):
    root = tmp_path / "root"
    done = rekrylov("run", spec, "--root", root, "--set", f"definitions.odd={wanted}")
    assert done.code == 2 and said in done.text, done.text
    assert not root.exists()


def test_ranks_make_the_same_definition(rekrylov, spec, finished, tmp_path):
    done = rekrylov("run", spec, "--root", tmp_path, "--ranks", "2", "--set", FAR)
    assert done.code == 0, done.text
    ds = open_dataset(folder_of(tmp_path).path)
    inside = open_dataset(folder_of(finished).path).scalars["std(a)"] > 0.3
    assert 0 < inside.sum() < 48
    assert np.array_equal(ds.split("far/ood").ids, np.flatnonzero(inside))
