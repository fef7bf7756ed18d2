"""What pages and plots say: definitions, failures, scales of axes, numbers."""

import json

import numpy as np
import pytest
from synthetic import make_dataset

from storage.catalogue.figures import is_logarithmic
from storage.web import facts, html, listings, plots
from storage.web.opened import Opened


@pytest.fixture
def opened(tmp_path):
    folder = make_dataset(tmp_path, failed=(0,))
    path = folder / "manifest.json"
    splits = {"counts": {"train": 5, "ood": 0}, "ood": {"where": "mean(a)>1.2", "ids": []}}
    entry = {"description": "harder", "inputs": ["a"], "outputs": ["u"], "splits": splits}
    told = {"definitions": {"hot": entry, "odd": [1], "odder": {"splits": 3, "inputs": {}}}}
    path.write_text(json.dumps(json.loads(path.read_text()) | told | {"rtol": 10**400}))
    for name, text in (("spon-1", b"# SPON: a\n\nmore"), ("fno-2", b"\xff" * 9)):
        (folder / "training" / name).mkdir(parents=True)
        (folder / "training" / name / "report.md").write_bytes(text)
    return Opened(tmp_path).get(folder.name, "")


def test_definitions_titles_and_odd_numbers(opened):
    found = facts.facts(opened)
    hot, odd, odder = found["definitions"]
    assert (hot["inputs"], hot["outputs"], hot["where"]) == (["a"], ["u"], "mean(a)>1.2")
    assert hot["counts"] == {"train": "5", "ood": "0"} and hot["description"] == "harder"
    assert odd["inputs"] == odder["outputs"] == [] and odd["counts"] == {}
    assert found["titles"]["spon-1"] == "SPON: a" and set(found["titles"]) == {"spon-1", "fno-2"}
    assert found["rtol"] is None and found["unknowns"] == 25
    assert listings.failures(opened, 0)["rows"][0]["id"] == "0"


def test_a_problem_without_end_is_left_out(opened):
    opened.data.manifest["problem"] = {"family": "darcy", "strong": ["f"]}
    assert facts.facts(opened)["problem"]["strong"] == ["f"]
    opened.data.manifest["problem"] = {"family": "darcy", "strong": ["f" * 100] * 5000}
    assert facts.facts(opened)["problem"] == {}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.random.default_rng(0).uniform(0.0, 100.0, 5000), False),
        (np.append(np.linspace(50.0, 100.0, 99), 0.01), False),
        (10 ** np.random.default_rng(0).uniform(-4.0, 0.0, 5000), True),
        (np.random.default_rng(0).lognormal(0.0, 1.5, 5000), True),
        (np.random.default_rng(0).normal(5.0, 1.0, 5000), False),
        (np.array([0.0, 1.0, 1e6]), False),
        (np.array([5e-324, 1.0, 1e300]), True),
        (np.full(3, 7.0), False),
    ],
)
def test_a_logarithmic_scale_where_it_shows_more(values, expected):
    assert is_logarithmic(values) is expected


def test_plots_have_readable_numbers():
    data = 10 ** np.random.default_rng(0).uniform(-5.0, 3.0, 500)
    drawn = plots.histogram(data, "p", "light").decode()
    assert "1e−" in drawn and ">10<" in drawn and "1e+" not in drawn
    drawn = plots.series(np.arange(9), np.full(9, 2), "iterations", "light").decode()
    assert ">2<" in drawn and "2.0" not in drawn


def test_numbers_on_pages():
    assert html._power(4.2e-9) == "4e−9" and html._power(1.24e-15, 1) == "1.2e−15"
    assert html._units("degC/m^2") == "°C/m²"
