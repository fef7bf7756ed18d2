"""From a spec to the tables of `benchmarks.peers`: recorded systems, a race, whole samples."""

import meshes  # isort: skip  # noqa: F401 - first, for the order of imports
import json
import sys

import numpy as np
import pytest
from mpi4py import MPI

from benchmarks import peers, peers_race, peers_sample
from benchmarks.peers_cases import CASES, EXAMPLES, QUICK, Case
from benchmarks.peers_sequence import BLOCK, Recording
from benchmarks.peers_tables import (
    BEGIN,
    END,
    all_rows,
    fastest,
    main_row,
    verdict,
    whole_row,
    write_docs,
)
from pipeline.discretisation import Discretisation
from pipeline.families import FAMILIES
from pipeline.sampler import Sampler
from pipeline.spaces import spaces_tree

SMALL = {"darcy": "mesh.resolution=6", "thermal": "mesh.resolution=8"}
SMALL |= {"heat": "mesh.resolution=5", "reaction-diffusion": "mesh.resolution=5"}


def recording(example, samples, *more):
    spec = Case("x", example, (SMALL[example], *more)).spec(3, 40)
    made = Recording(spec, samples)
    return spec, made, list(made.pieces())


def values(system):
    return system.A.getValuesCSR()[2]


def test_linear_systems_are_those_of_the_sorted_samples():
    spec, made, pieces = recording("darcy", 20)
    assert [len(p.samples) for p in pieces] == [16, 4] and made.failed == 0
    ids = [i for p in pieces for i in p.samples]
    assert len(set(ids)) == 20 and ids != sorted(ids) and max(ids) >= 20  # a piece of a longer path
    tree = spaces_tree(spec)
    there, sampler = Discretisation(spec, tree, MPI.COMM_SELF), Sampler(spec, tree)
    for piece in pieces:
        assert [s.id for block in piece.blocks for s in block] == list(piece.samples)
        for i, (system,) in piece.samples.items():
            A, b = there.assemble(sampler.inputs(i))
            np.testing.assert_allclose(values(system), A.getValuesCSR()[2], rtol=1e-12)
            np.testing.assert_allclose(system.b.array, b.array, rtol=1e-12, atol=1e-15)
    made.close()


def test_an_operator_that_stays_is_one_object():
    _, made, pieces = recording("thermal", 18)
    systems = [s for p in pieces for (s,) in p.samples.values()]
    assert len({id(s.A) for s in systems}) == 1
    assert len({s.b.norm() for s in systems}) == 18
    made.close()


def test_time_steps_stand_by_sample_and_side_by_side():
    _, made, (piece,) = recording("heat", 20, "problem.steps=3")
    assert made.failed == 0 and all(len(steps) == 3 for steps in piece.samples.values())
    assert all(len({id(s.A) for s in steps}) == 1 for steps in piece.samples.values())
    assert len({s.id for s in piece.blocks[0]}) == BLOCK  # the first steps of 16 samples
    assert {id(s) for b in piece.blocks for s in b} == {
        id(s) for steps in piece.samples.values() for s in steps
    }
    made.close()


def test_newton_steps_keep_their_tolerances():
    _, made, (piece,) = recording("reaction-diffusion", 17)
    assert made.failed == 0
    for steps in piece.samples.values():
        assert len(steps) > 2 and all(s.rtol is not None and s.increment for s in steps)
        assert not np.array_equal(values(steps[0]), values(steps[1]))
        norms = [s.b.norm() for s in steps]
        assert norms == sorted(norms, reverse=True)  # residuals fall: they are in order
    made.close()


def test_rounds_share_out_everything_once():
    _, made, (piece,) = recording("heat", 40, "problem.steps=2")
    blocks, samples = [], []
    for some, others in piece.rounds():
        blocks += some
        samples += others
        assert len(others) == 20
    assert blocks == piece.blocks and samples == list(piece.samples.values())
    made.close()


@pytest.fixture(scope="module")
def found():
    job = {"case": QUICK[0].name, "seed": 5, "samples": 48, "expected": 60}
    made = peers_race.race(job)
    shares = {"draw_ms": 1.0, "assemble_ms": 1.0, "solve_ms": 1.0, "rest_ms": 0.5}
    shares |= {"once_ms": 100.0, "ms": 4.0, "peak_mib": 200.0, "failed": 0}
    return made | {"whole": {"name": "CG+ICC", "ours": shares, "peer": shares | {"ms": 40.0}}}


def test_a_race_has_times_of_ours_and_of_every_peer(found):
    ours = found["ours"]
    assert ours["failed"] == 0 and 0 < ours["residual over rtol"] <= 1.0
    assert ours["ms"] == pytest.approx(ours["steady_ms"] + ours["once_ms"] / 60)
    total = 16 * 3 * ours["steady_ms"] + ours["once_ms"]
    assert ours["once_ms"] == 0 or 48 * ours["all_ms"] == pytest.approx(total)
    assert found["picked"] and found["n"] == 441 and found["systems"] == 1.0
    good = [r for r in found["peers"] if not r["stopped"]]
    assert good and all(r["failed"] == 0 and r["ms"] > 0 for r in good)
    assert len(found["peers"]) >= 12
    json.dumps(found, default=float)


def test_tables_hold_the_fastest_peer_against_the_goal(found):
    row = main_row(QUICK[0], found)
    listed = [r for r in found["peers"] if not (r["stopped"] or r["beyond"] or r["failed"])]
    assert row["peer ms"] == min(r["ms"] for r in listed)
    assert row["ratio"] == row["peer ms"] / (found["ours"]["ms"] + found["sort_ms"])
    table = all_rows(found)
    assert len(table) == len(found["peers"]) + 1 and table[0]["method"].startswith("auto")
    whole = whole_row(QUICK[0], found)
    assert whole["ratio"] == pytest.approx(40 / (4 + found["sort_ms"]))


def test_neither_the_stopped_nor_the_failed_nor_the_unlisted_are_fastest():
    def peer(name, ms, **more):
        common = {"failed": 0, "stopped": "", "beyond": False, "all_ms": 10 - ms}
        return {"name": name, "ms": ms, **common, **more}

    rows = [peer("a", 1, stopped="too slow"), peer("b", 2, failed=1), peer("c", 3, beyond=True)]
    rows += [peer("d", 4), peer("e", 5)]
    assert fastest({"peers": rows})["name"] == "d"
    assert fastest({"peers": rows}, beyond=True)["name"] == "c"
    assert fastest({"peers": rows}, key="all_ms")["name"] == "e"
    assert fastest({"peers": rows[:2]}) is None


def test_verdicts():
    assert [verdict(r, 3.0) for r in (3.0, 2.99, float("nan"))] == ["met", "missed", "no peer"]
    assert verdict(9.0, 3.0, failed=2) == "2 failed"


def test_figures_of_shards_leave_out_what_is_paid_once():
    steady = {"draw": 0.016, "assemble": 0.032, "solve": 0.064, "all": 0.16}
    shards = [steady | {"all": 1.32}, steady, steady, steady | {"all": 0.0}]
    made = peers_sample.figures(shards, expected=100)
    assert made["draw_ms"] == pytest.approx(1.0) and made["solve_ms"] == pytest.approx(4.0)
    assert made["rest_ms"] == pytest.approx(3.0)
    assert made["once_ms"] == pytest.approx(1000.0)
    assert made["ms"] == pytest.approx(10.0 + 10.0)


@pytest.mark.parametrize("peer", [None, "splu"])
def test_whole_samples(tmp_path, peer):
    job = {"case": QUICK[0].name, "seed": 5, "samples": 48, "expected": 60, "peer": peer}
    job |= {"fixed": False, "kind": [True, "positive"], "place": str(tmp_path)}
    (tmp_path / "job.json").write_text(json.dumps(job))
    before, sys.argv = sys.argv, ["x", str(tmp_path / "job.json"), str(tmp_path / "out.json")]
    try:
        peers_sample.main()
    finally:
        sys.argv = before
    made = json.loads((tmp_path / "out.json").read_text())
    assert made["failed"] == 0 and made["ms"] > 0 and made["peak_mib"] > 50


@pytest.mark.parametrize("case", [*CASES, *QUICK], ids=lambda case: case.name)
def test_a_case_is_a_spec(case):
    spec = case.spec(1)
    assert spec.rtol == 1e-8 and spec.samples == case.samples >= (48 if case.whole else 32)


def test_every_family_and_every_example_take_part():
    assert {c.example for c in CASES} >= {p.stem for p in EXAMPLES.glob("*.yaml")}
    raced = {type(c.spec(1).problem) for c in CASES}
    assert set(FAMILIES) <= raced


def test_cases_are_chosen_by_patterns():
    assert [c.name for c in peers.chosen(["darcy 1*"], False)] == ["darcy 100²", "darcy 128²"]
    assert peers.chosen(None, True) == list(QUICK)
    with pytest.raises(ValueError, match="matches none of"):
        peers.chosen(["nothing*"], False)


def test_tables_go_between_the_markers(tmp_path, found):
    page = tmp_path / "page.md"
    page.write_text(f"# A\n{BEGIN}\nold\n{END}\nend\n")
    write_docs(page, {"peers": [main_row(QUICK[0], found)], "peers_whole": []}, "Seed 5.")
    text = page.read_text()
    assert "old" not in text and "| darcy 20² |" in text and text.endswith(f"{END}\nend\n")
    page.write_text("nothing")
    with pytest.raises(ValueError, match="each once"):
        write_docs(page, {}, "")
