"""`rekrylov compare`: every training once, figures from all seeds and samples, tests elsewhere."""

import json

import numpy as np
import pytest
from operator_cases import LIGHT, SPLITS, darcy, solved

from pipeline.cli import main
from pipeline.dataset_folder import data_folder
from pipeline.operators import TrainConfig, TrainingError
from pipeline.operators.config.compare import CompareConfig
from pipeline.operators.validation import comparison
from pipeline.operators.validation.comparison import compare
from pipeline.operators.validation.comparison_plan import count_trainings, names_of
from pipeline.spec import parse_spec
from pipeline.spec_errors import SpecError
from pipeline.stages.compare import compare as stage
from storage.files import read_json

SPON = {"kind": "spon", "processor": {"kind": "messages", "width": 4, "layers": 1, "modes": 4}}
NET = {"kind": "deeponet", "width": 8, "layers": 1, "basis": 4}
BASE = TrainConfig.model_validate({"epochs": 1, "tracking": ["csv"]})
UNIFORM = {"law": "uniform", "low": 1.0, "high": 2.0}
SPEC = LIGHT | {"splits": SPLITS} | darcy(32, 2, source=UNIFORM)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return solved(darcy(32, 2, source=UNIFORM), tmp_path_factory.mktemp("home"))


def config_of(**changes):
    return CompareConfig.model_validate({"operators": [SPON, NET], "seeds": [0, 1]} | changes)


def test_operators_are_named_by_what_differs():
    config = config_of(
        operators=[SPON, {"kind": "fno"}, {"kind": "fno", "width": 16},
                   {"operator": {"kind": "fno"}, "lr": 1e-4}]
    )  # fmt: skip
    configs = config.trainings(BASE)
    assert names_of(configs)[0] == "spon"
    assert names_of(configs)[2].startswith("fno width=16")
    assert names_of(configs)[3].endswith("lr=0.0001")
    assert configs[3].epochs == 1 and configs[3].controls == ()
    with pytest.raises(TrainingError, match="fno is there twice"):
        names_of(config_of(operators=[{"kind": "fno"}, {"kind": "fno"}]).trainings(BASE))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"operators": [{"kind": "fno", "widht": 3}]}, "operators.0: operator.fno.widht"),
        ({"operators": [{"epohs": 3}]}, "operators.0: epohs"),
        ({"operators": []}, "operators"),
        ({"out_of_distribution": {"parameter": "f"}}, "give above, below or both"),
        ({"out_of_distribution": {"above": 1.0}}, "either a folder or a parameter"),
        (
            {"out_of_distribution": {"parameter": "f", "above": 1.0, "below": 2.0}},
            "nothing is inside",
        ),
    ],
)
def test_mistakes_of_a_comparison_are_those_of_the_spec(changes, said):
    with pytest.raises(SpecError, match=said):
        parse_spec(SPEC | {"compare": {"operators": [SPON]} | changes})


def test_figures_are_those_of_the_trainings(home, monkeypatch):
    config = config_of(samples=[8])
    steps = []
    found = compare(home, config, BASE, progress=lambda done, note: steps.append(done))
    assert steps[-1] == count_trainings(config) == 8
    reports = [read_json(p) for p in sorted((home / "training").glob("deeponet-*/report.json"))]
    whole = [r for r in reports if r["samples"]["train"] == found.sizes["train"]]
    assert len(whole) == 2 and len(reports) == 4
    for norm in ("l2", "graph"):
        known = sorted(r["test"]["deeponet"][norm]["mean"] for r in whole)
        errors = found.rows["deeponet"].errors[norm]
        assert errors.shape == (2, found.sizes["test"])
        np.testing.assert_allclose(sorted(errors.mean(axis=1)), known, rtol=1e-9)
    assert list(found.samples["spon"]) == [found.sizes["train"], 8]
    assert (found.rows["spon"].errors["boundary/u"] == 0).all()
    assert (found.rows["deeponet"].errors["boundary/u"] > 0).any()
    assert list(found.rows) == ["spon", "deeponet", "mean", "nearest", "pod_ridge"]

    monkeypatch.setattr(comparison, "train", lambda *_, **__: pytest.fail("trained again"))
    again = compare(home, config, BASE)
    assert (again.rows["spon"].errors["l2"] == found.rows["spon"].errors["l2"]).all()


def test_an_interrupted_comparison_goes_on(tmp_path, home):
    config = config_of(operators=[NET], seeds=[5, 6], controls=[])

    def stop(done, note):
        if done == 1 and "epoch" in note:
            raise KeyboardInterrupt

    before = set((home / "training").glob("deeponet-*/report.json"))
    with pytest.raises(KeyboardInterrupt):
        compare(home, config, BASE, progress=stop)
    first = set((home / "training").glob("deeponet-*/report.json")) - before
    assert len(first) == 1
    times = {path: path.stat().st_mtime_ns for path in first}
    found = compare(home, config, BASE)
    assert found.rows["deeponet"].errors["l2"].shape[0] == 2
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_operators_are_tested_on_other_laws_and_meshes(tmp_path, home):
    wide = {"law": "uniform", "low": 5.0, "high": 6.0}
    law = solved(darcy(16, 2, source=wide), tmp_path / "law")
    mesh = solved(darcy(16, 3, source=UNIFORM), tmp_path / "mesh")
    config = config_of(
        seeds=[0], controls=["mean"], transfer=[str(mesh)], out_of_distribution={"folder": str(law)}
    )
    found = compare(home, config, BASE)
    for name in ("spon", "deeponet", "mean"):
        sides = found.out[name]
        assert sides["outside"]["l2"].mean() > 1.5 * sides["inside"]["l2"].mean()
    moved = found.transfer["spon"][str(mesh)]
    assert moved["l2"].mean() < 3 * found.rows["spon"].errors["l2"].mean()
    assert "can't be moved" in found.transfer["deeponet"][str(mesh)]


def test_a_range_that_is_left_out_is_not_trained_on(home):
    config = config_of(
        operators=[NET], seeds=[0], controls=["mean"],
        out_of_distribution={"parameter": "f", "above": 1.5},
    )  # fmt: skip
    found = compare(home, config, BASE)
    inside, outside = (found.out["mean"][side]["l2"] for side in ("inside", "outside"))
    assert inside.shape[1] + outside.shape[1] == found.sizes["test"]
    assert outside.mean() > inside.mean()
    trained = [read_json(p) for p in (home / "training").glob("deeponet-*/report.json")]
    (restricted,) = (r for r in trained if r["config"].get("where"))
    assert restricted["config"]["where"] == "f <= 1.5"
    assert restricted["samples"]["train"] < found.sizes["train"]


def test_the_stage_solves_to_other_tolerances_and_reports(tmp_path):
    raw = SPEC | {
        "train": BASE.model_dump(mode="json"),
        "solve": {"strategy": {"ksp": "cg", "pc": "jacobi"}},
        "compare": {"operators": [NET], "seeds": [0], "tolerances": [0.1], "controls": ["mean"]},
    }
    spec = parse_spec(raw)
    solve(spec, tmp_path)
    folder, found = stage(spec, data_folder(spec, tmp_path), quiet=True)
    assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == 2
    curve = found["error_against_tolerance"]["deeponet"]
    assert list(curve) == ["1e-08", "0.1"]
    assert curve["0.1"]["l2"]["mean"] != curve["1e-08"]["l2"]["mean"]
    text = (folder / "comparison.md").read_text()
    for name in ("errors.png", "tolerances.png"):
        assert f"]({name})" in text and (folder / name).read_bytes()[:4] == b"\x89PNG"


def test_the_command_prints_the_table(home, capsys):
    words = [
        "compare",
        home,
        "--json",
        "--set",
        f"train={json.dumps(BASE.model_dump(mode='json'))}",
    ]
    operators = json.dumps([NET])
    with pytest.raises(SystemExit) as end:
        main([*map(str, words), "--set", f"compare={{operators: {operators}, seeds: [0]}}"])
    assert end.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["table"]["deeponet"]["errors"]["l2"]["mean"] > 0
    with pytest.raises(SystemExit) as end:
        main(["compare", str(home)])
    assert end.value.code == 2
    assert "compare: missing" in capsys.readouterr().err


def solve(spec, root):
    from pipeline import stages

    stages.solve(spec, root, quiet=True)
    stages.finalise(spec, data_folder(spec, root))
