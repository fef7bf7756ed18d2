"""Families of users: from a file beside the spec, from an entry point, and what goes wrong."""

import shutil
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from pipeline import stages, user_family
from pipeline.dataset_folder import resolve
from pipeline.family import Family
from pipeline.spec import data_key, load_spec, parse_spec
from pipeline.spec_errors import SpecError, tag_of
from storage import DataFolder, open_dataset

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = ["samples=6", "mesh.size=0.3"]


@pytest.fixture
def place(tmp_path):
    for name in ("own-family.yaml", "own_family.py"):
        shutil.copy(EXAMPLES / name, tmp_path)
    return tmp_path


def mistakes(path, *overrides):
    with pytest.raises(SpecError) as caught:
        load_spec(path, [*SMALL, *overrides])
    return caught.value.mistakes


def test_a_family_from_a_file_makes_a_data_set_that_checks(place):
    spec = load_spec(place / "own-family.yaml", SMALL)
    stages.solve(spec, place, quiet=True)
    (path,) = place.glob("absorption-*")
    folder = DataFolder(path)
    stages.finalise(spec, folder)
    (place / "own_family.py").unlink()  # the data set keeps a copy
    again, _ = resolve(path, place)
    result = stages.check(again, folder, full=True)
    assert result.sound and result.recomputed == 6
    dataset = open_dataset(path)
    assert dataset.inputs == ["a"] and dataset.parameters == ["s"]
    said = dataset.manifest["problem"]
    assert said["strong"] and "s*u(x, y)" in said["strong"][0]
    assert 0.1 <= dataset.column("parameters/s").min() <= dataset.column("parameters/s").max() <= 10


def test_the_content_of_the_file_is_in_the_data_key_its_place_is_not(place):
    key = data_key(load_spec(place / "own-family.yaml", SMALL))
    (place / "deeper").mkdir()
    for name in ("own-family.yaml", "own_family.py"):
        shutil.copy(place / name, place / "deeper")
    assert data_key(load_spec(place / "deeper" / "own-family.yaml", SMALL)) == key
    with open(place / "own_family.py", "a") as file:
        file.write("\n# another version\n")
    assert data_key(load_spec(place / "own-family.yaml", SMALL)) != key


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("problem.family=other", ["'other'", "absorption"]),
        ("problem.diffusion.law=cubic", ["problem.diffusion.law", "'cubic'", "lognormal"]),
        ("problem.speed=3", ["problem.speed", "unknown key", "diffusion"]),
        ("family_file=missing.py", ["family_file", "missing.py", "FileNotFoundError"]),
    ],
)
def test_a_mistake_is_one_line(place, override, expected):
    (line,) = mistakes(place / "own-family.yaml", override)
    for text in expected:
        assert text in line


def test_a_file_that_fails_says_how(place):
    (place / "own_family.py").write_text("import no_such_module\n")
    (line,) = mistakes(place / "own-family.yaml")
    assert "own_family.py" in line and "no_such_module" in line


def test_an_entry_point_offers_a_family(monkeypatch):
    point = EntryPoint("absorption", "own_family:Absorption", user_family.ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr(user_family, "entry_points", lambda group: [point])
    raw = {
        "name": "t",
        "samples": 4,
        "problem": {"family": "absorption", "diffusion": {"law": "lognormal"}},
        "mesh": {"domain": "unit_square", "resolution": 4},
    }
    problem = parse_spec(raw).problem
    assert isinstance(problem, Family) and tag_of(type(problem)) == "absorption"


def test_an_unknown_family_names_those_there_are():
    with pytest.raises(SpecError) as caught:
        parse_spec({"name": "t", "samples": 2, "problem": {"family": "no"}, "mesh": {}})
    assert "darcy" in str(caught.value) and "'no'" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("- c.f * v)", "- c.f)", ["weak", "no test function"]),
        ("c.s * u * v", "c.s * u * u * v", ["LINEAR = False"]),
        ("+ c.s * u - c.f", "+ c.nope * u - c.f", ["own_family.py, line", "in strong", "nope"]),
        ("c.s * u * v", "c.nope * u * v", ["own_family.py, line", "in weak", "nope"]),
        ("def weak(", "def week(", ["weak(q, u, v, c) is missing"]),
        ("def outputs(", "def output(", ["outputs(dim) is missing"]),
        ("c.s * u * v", "1 / 0 * v", ["in weak", "ZeroDivisionError"]),
        ('quantity("s"', 'quantity("x"', ["'x'", "can't be"]),
        ('quantity("s"', 'quantity("a"', ["'a'", "two things"]),
        ('quantity("s"', 'quantity("u"', ["'u'", "two things"]),
        ("from typing import Literal", "raise SystemExit(0)", ["family_file", "SystemExit"]),
    ],
)
def test_a_mistake_in_the_file_is_one_line_and_writes_nothing(place, old, new, expected):
    file = place / "own_family.py"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(SpecError) as caught:
        stages.sample(load_spec(place / "own-family.yaml", SMALL), place, quiet=True)
    (line,) = caught.value.mistakes
    for text in expected:
        assert text in line
    assert not list(place.glob("absorption-*"))
