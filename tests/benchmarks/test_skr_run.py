"""Experiments of `benchmarks.skr`, run: every method solves, and what is capped is said."""

import meshes  # isort: skip  # noqa: F401 - first, for the order of imports
import json
import sys

import numpy as np
import pytest
from mpi4py import MPI

from benchmarks import skr, skr_run
from benchmarks.skr_distance import distances, summary
from benchmarks.skr_problems import BLOCKS, SETS, make_sequence

COMM = MPI.COMM_WORLD


def job(name="darcy-released", n=144, **changes):
    made = dict(kind="solve", set=name, n=n, systems=3, seed=0, side="left", bases=2)
    return made | {"pcs": ["none", "ilu"], "tolerances": [1e-8]} | changes


@pytest.mark.parallel([1, 2])
def test_every_method_solves_every_system():
    for name in SETS:
        # with four points a wave, ASM makes true Helmholtz nearly singular
        pcs = ["jacobi", "icc"] if name == "helmholtz" else ["jacobi", "asm", "icc"]
        for row in skr_run.run(job(name, pcs=pcs, side="right")):
            assert row["ranks"] == COMM.size and row["systems"] == 3
            for method in skr_run.METHODS:
                assert row[f"{method}_failed"] == 0, row
                assert row[f"{method}_residual"] <= 1.01e-8, row  # the right side's norm is true
                assert 0 < row[f"{method}_its"] < 2000 and row[f"{method}_ms"] > 0


def test_gmres_is_stopped_where_it_is_told_to_be(monkeypatch):
    monkeypatch.setattr(skr_run, "GMRES_MAX_IT", 30)
    (row,) = skr_run.run(job(n=400, pcs=["none"]))
    assert row["gmres_failed"] == 3 and row["gmres_its"] == 30
    assert row["gmres_residual"] > 1e-8
    assert row["cold_failed"] == row["sorted_failed"] == 0


def test_cold_forgets_and_recycled_does_not():
    (row,) = skr_run.run(job("thermal", n=900, pcs=["none"], systems=5))
    assert row["recycled_its"] < 0.8 * row["cold_its"]


def test_sorted_follows_the_path_and_recycled_the_drawing(monkeypatch):
    sequence = make_sequence("darcy", 100, 4, 0, MPI.COMM_SELF)
    norms = [round(sequence.system(i)[0].norm(), 9) for i in range(4)]
    seen = {method: [] for method in skr_run.METHODS}
    solve = skr_run.Solver.solve

    def recorded(self, A, b):
        seen[self.method].append(norms.index(round(A.norm(), 9)))
        return solve(self, A, b)

    monkeypatch.setattr(skr_run.Solver, "solve", recorded)
    found = skr_run.experiment(sequence, [2, 0, 3, 1], "none", 1e-8, "left", 1)
    assert seen["recycled"] == [0, 1, 2, 3]
    assert seen["gmres"] == seen["cold"] == seen["sorted"] == [2, 0, 3, 1]
    assert [len(found[m]) for m in skr_run.METHODS] == [4, 4, 4, 4]


def test_block_counts_are_the_released_scripts():
    assert skr_run.pc_options("asm", BLOCKS["darcy"], 2) == {"pc_type": "asm", "pc_asm_blocks": 72}
    assert skr_run.pc_options("bjacobi", 1, 2)["pc_bjacobi_blocks"] == 2
    assert skr_run.pc_options("ilu", 72, 1) == {"pc_type": "ilu"}
    assert skr_run.pc_options("ilu", 72, 2) == {"pc_type": "bjacobi", "sub_pc_type": "ilu"}


def test_near_systems_save_more_than_far_ones():
    sequence = make_sequence("helmholtz", 400, 3, 0, MPI.COMM_SELF)
    rows = distances(sequence, job(pcs=["sor"]), MPI.COMM_SELF)
    (found,) = summary(rows)
    assert found["pairs"] == 14 and found["Spearman ρ"] < -0.6 and found["p"] < 0.05
    near, far = found["saved, nearest third %"], found["saved, farthest third %"]
    assert near > far + 10


def test_cold_counts_of_pairs_are_those_without_a_space():
    sequence = make_sequence("darcy", 400, 3, 0, MPI.COMM_SELF)
    rows = distances(sequence, job(pcs=["none"], bases=1), MPI.COMM_SELF)
    for k, row in enumerate(rows):
        system, distance = sequence.partner(0, k)
        alone = skr_run.Solver("cold", "none", 1e-8, "left", 1)
        assert row["cold"] == alone.solve(*system).iterations and row["distance"] == distance
        alone.close()
    assert rows[0]["recycled"] < rows[0]["cold"]


def test_equal_distances_have_no_correlation():
    pair = {"set": "s", "n": 1, "pc": "none", "tol": 1e-8, "cold": 10, "distance": 1.0}
    (found,) = summary([pair | {"recycled": 5}, pair | {"recycled": 7}])
    assert np.isnan(found["Spearman ρ"]) and found["cold"] == 10


def test_the_command_makes_tables_picture_and_page(tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- skr: begin -->\n<!-- skr: end -->\nb\n")
    words = f"--sets darcy --pcs none --sizes 100 --systems 2 --ranks 1 --results {tmp_path / 'r'} "
    words += f"--plot {tmp_path / 'p.png'} --docs {page}"
    monkeypatch.setattr(sys, "argv", ["skr", *words.split()])
    skr.main()
    rows = json.loads((tmp_path / "r" / "skr.json").read_text())["rows"]
    assert [(r["set"], r["n"], r["systems"]) for r in rows] == [("darcy", 100, 2)]
    assert (tmp_path / "p.png").exists() and "### darcy" in page.read_text()
    assert "Spearman" in page.read_text() and "| darcy | 100 |" in capsys.readouterr().out
    before = page.read_text()
    monkeypatch.setattr(sys, "argv", ["skr", "--again", *words.split()])
    skr.main()
    assert page.read_text() == before


def test_a_group_that_fails_is_said_and_left_out(capsys):
    group = skr.Group("no-such-set", 100, ("none",), (1e-8,), 2)
    assert list(skr.run(group, 60.0)) == []
    assert "FAILED" in capsys.readouterr().out


def test_the_grids_cover_what_the_issue_asks_for():
    for groups in (skr.quick(), skr.long()):
        solves = [g for g in groups if g.kind == "solve"]
        assert (
            {g.set for g in groups if g.kind == "distance"} == {g.set for g in solves} == set(SETS)
        )
        assert {g.ranks for g in solves} == {1, 2}
        assert {pc for g in solves for pc in g.pcs} == set(skr.PCS)
    full = [g for g in skr.long() if g.kind == "solve"]
    assert {1e-2, 1e-5, 1e-8, 1e-11} <= {t for g in full for t in g.tolerances}
    assert {2500, 6400, 10_000, 22_500, 40_000, 71_313} <= {g.n for g in full}
