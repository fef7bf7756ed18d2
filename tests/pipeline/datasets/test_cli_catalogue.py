"""The command line finds data sets, compares them, and deletes them."""

import io
import json
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.spec import load_spec
from pipeline.stages import finalise, order, sample, solve
from storage import DataFolder

EXAMPLES = Path(__file__).parents[3] / "examples"


def rekrylov(*arguments, code=0, given=""):
    """What a command prints, or says when it fails; in this process, since there are many."""
    out, err = io.StringIO(), io.StringIO()
    stdin, sys.stdin = sys.stdin, io.StringIO(given)
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
    finally:
        sys.stdin = stdin
    assert ended.value.code == code, out.getvalue() + err.getvalue()
    assert "Traceback" not in err.getvalue()
    return out.getvalue() if code == 0 else err.getvalue()


def make(root, *changes):
    spec = load_spec(
        EXAMPLES / "darcy.yaml", ["mesh.resolution=6", "train=null", "samples=12", *changes]
    )
    folder = DataFolder(sample(spec, root, quiet=True))
    order(spec, root)
    solve(spec, root, quiet=True)
    finalise(spec, folder)
    return folder.path


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    place = tmp_path_factory.mktemp("root")
    make(place)
    make(place, "name=direct", "solve.strategy={ksp: preonly, pc: cholesky}", "samples=16")
    return place


def test_search_and_list(root):
    def names(*arguments):
        rows = json.loads(rekrylov(*arguments, "--root", root, "--json"))
        return [row["name"] for row in rows]

    assert names("list") == ["direct", "darcy"] and names("list", "--limit", 1) == ["direct"]
    assert names("list", "--sort", "samples") == ["darcy", "direct"]
    assert names("search", "family=darcy", "and", "samples>12") == ["direct"]
    assert names("search", "permeability") == ["direct", "darcy"]
    assert "1 of 2; --limit" in rekrylov("list", "--root", root, "--limit", 1)
    found = json.loads(rekrylov("search", "darcy", "--facets", "--root", root, "--json"))
    assert found["strategy"]["preonly+cholesky (mumps)"] == 1 and found["family"] == {"darcy": 2}
    assert "did you mean 'samples'" in rekrylov("search", "sampels>1", "--root", root, code=2)


def test_a_run_tells_an_index_that_is_there(root):
    from storage.catalogue import Catalogue

    Catalogue(root).refresh()
    made = make(root, "name=third", "samples=2", "citation=Someone 2026")
    try:
        assert Catalogue(root).get(made.name).citation == "Someone 2026"  # without a refresh
    finally:
        shutil.rmtree(made)


def test_a_name_a_beginning_or_a_path_say_which(root):
    (folder,) = root.glob("direct-*")
    for target in (folder, folder.name, "direct", "dir"):
        found = json.loads(rekrylov("show", target, "--root", root, "--json"))
        assert found["name"] == "direct"
    assert "no data set of that name" in rekrylov("show", "none", "--root", root, code=2)
    assert "2 data sets begin so" in rekrylov("show", "d", "--root", root, code=2)


def test_diff_says_what_differs(root):
    found = json.loads(rekrylov("diff", "darcy", "direct", "--root", root, "--json"))
    assert found["spec"]["samples"] == [12, 16] and found["spaces_equal"]
    assert found["ids"] == {"common": 12, "only_a": 0, "only_b": 4}
    assert found["columns"]["inputs/a"]["equal"] == 12
    assert 0 < found["columns"]["outputs/u"]["largest_by_rtol"] < 10  # both solved to rtol
    text = rekrylov("diff", "darcy", "direct", "--root", root)
    assert "× rtol" in text and "12 ids in both" in text
    same = rekrylov("diff", "darcy", "darcy", "--root", root)
    assert "bit for bit" in same


def test_stats_lineage_cite_and_preview(root, tmp_path):
    found = json.loads(rekrylov("stats", "darcy", "--root", root, "--json"))
    assert found["scalars"]["true_residual"]["max"] <= 1e-8
    assert sum(found["scalars"]["std(a)"]["histogram"]["counts"]) == 12
    text = rekrylov("stats", "darcy", "--root", root)
    assert "█" in text and "iterations" in text
    found = json.loads(rekrylov("lineage", "darcy", "--root", root, "--json"))
    assert found["provenance"]["versions"]["petsc"] and found["seed"] == 2024
    assert found["pilots"][0]["trials"] and sum(found["picked"].values()) == 1
    assert "ms a system" in rekrylov("lineage", "darcy", "--root", root)
    assert rekrylov("cite", "darcy", "--root", root).startswith("@")
    assert "expected one of" in rekrylov("cite", "darcy", "--root", root, "--format", "x", code=2)
    out = tmp_path / "picture.png"
    printed = rekrylov("preview", "darcy", "--root", root, "--ids", "3,5-7", "--out", out)
    assert printed.strip() == str(out) and out.read_bytes().startswith(b"\x89PNG")
    assert "not stored" in rekrylov("preview", "darcy", "--root", root, "--ids", "99", code=2)


def test_index_counts_what_it_finds(root):
    found = json.loads(rekrylov("index", "--root", root, "--json"))
    assert found["data sets"] == 2 and not found["in_memory"]
    assert "0 data sets" in rekrylov("index", "--root", root / "none")
    assert not (root / "none").exists()


def test_delete_asks_and_says_how_to_restore(root):
    (folder,) = root.glob("direct-*")
    copy = shutil.copytree(folder, root / "copy-0000000000")
    assert "nobody answers" in rekrylov("delete", "copy", "--root", root, code=2)
    assert "nothing was deleted" in rekrylov("delete", "copy", "--root", root, given="n\n")
    assert "not right below" in rekrylov("delete", copy, "--yes", code=2)
    assert "name a data set" in rekrylov("delete", "--root", root, code=2)
    text = rekrylov("delete", copy, "--root", root, given="y\n")
    assert not copy.exists() and json.loads(rekrylov("index", "--root", root, "--json"))
    (command,) = [line for line in text.splitlines() if line.startswith("to restore it: ")]
    subprocess.run(command.removeprefix("to restore it: "), shell=True, check=True)
    assert sorted(p.name for p in copy.iterdir()) == sorted(p.name for p in folder.iterdir())
    rekrylov("delete", "copy", "--root", root, "--yes")
    text = rekrylov("delete", "--empty-trash", "--root", root, given="y\n")
    assert "copy-0000000000: 16 samples" in text and "1 removed" in text
    assert "the trash is empty" in rekrylov("delete", "--empty-trash", "--root", root)


def test_statistics_of_no_training_sample_are_left_blank(capsys):
    from pipeline.commands.catalogue_printing import print_figures

    nothing = {"mean": 0.0, "std": 0.0, "min": None, "max": None, "count": 0}
    print_figures("x", {"samples": 1, "failed": 0, "fields": {"a": nothing}, "scalars": {}}, False)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.strip()[:2] == "a "]
    assert line.split() == ["a", "0", "0"]
