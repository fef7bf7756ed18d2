"""The spec: one message per mistake, and a data key of what determines the data alone."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.spec import Spec, StrategySpec, data_key, load_spec, parse_spec
from pipeline.spec_errors import SpecError

BASE = {
    "name": "t",
    "samples": 8,
    "problem": {"family": "darcy", "coefficient": {"law": "lognormal"}},
    "mesh": {"domain": "unit_square", "resolution": 8},
}


def spec(**changes):
    return parse_spec(json.loads(json.dumps(BASE)) | changes)


def mistakes(*overrides):
    with pytest.raises(SpecError) as caught:
        parse_spec(json.loads(json.dumps(BASE)), overrides)
    return caught.value.mistakes


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("problem.coefficient.law=cubic", ["problem.coefficient.law", "'cubic'", "two_phase"]),
        (
            "problem.coefficient.high=3",
            ["problem.coefficient.high", "unknown key", "mean, clip, field"],
        ),
        ("problem.coefficient.field.alpha=0", ["problem.coefficient.field.alpha", "got 0"]),
        ("mesh.resolution=ten", ["mesh.resolution", "'ten'"]),
        ("samples=0", ["samples", "got 0", "greater than or equal to 1"]),
        ("rtol=2", ["rtol", "got 2", "less than 1"]),
        ("samples.x=1", ["--set samples.x=1", "'samples'"]),
        ("solve.strategy.pc=magic", ["solve.strategy.pc", "'magic'", "'icc'"]),
        ("problem.source=open('x')", ["problem.source", "allowed", "pi"]),
        ("problem.output_space={family: P, degree: 7}", ["problem", "P7", "P1, P2"]),
        ("name=../up", ["name", "../up", "letters"]),
        ("splits.train=0.95", ["splits", "1.15"]),
        ("dtype=float32", ["float32", "1e-08", "float64"]),
        ("problem.coefficient={law: two_phase, high: .inf}", ["coefficient.high", "finite", "inf"]),
        ("problem.coefficient=5", ["problem", "nothing in it is random", "law"]),
        ("problem.coefficient=[5]", ["problem.coefficient", "[5]", "law"]),
        ("problem.source=(9**64)**64", ["problem.source", "too large"]),
        ("colour=1", ["colour", "unknown key", "samples"]),
        ("samples", ["--set samples", "key=value"]),
    ],
)
def test_a_mistake_is_one_line_with_path_value_and_what_is_allowed(override, expected):
    (line,) = mistakes(override)
    assert "\n" not in line
    for text in expected:
        assert text in line


def test_every_mistake_has_its_line():
    lines = mistakes("samples=-1", "rtol=0", "mesh.resolution=x", "oops=1")
    assert len(lines) == 4


def test_missing_keys_say_what_they_are():
    with pytest.raises(SpecError) as caught:
        parse_spec({"name": "t"})
    assert any(
        line.startswith("samples: missing; Number of samples") for line in caught.value.mistakes
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [", "not YAML"),
        ("- 1\n- 2", "expected keys"),
        ("name: a\nname: b", "'name' twice"),
        ("", "expected keys"),
    ],
)
def test_files_that_are_no_spec(tmp_path, text, expected):
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=expected):
        load_spec(path)


def test_a_missing_file_and_a_folder_say_so(tmp_path):
    with pytest.raises(SpecError, match="No such file"):
        load_spec(tmp_path / "none.yaml")
    with pytest.raises(SpecError, match="cannot be read"):
        load_spec(tmp_path)


def test_the_key_is_what_determines_the_data():
    key = data_key(spec())
    outside = [
        {"name": "other"},
        {"samples": 99},
        {"order": {"sort": "none"}},
        {"solve": {"ranks_per_solve": 2, "strategy": {"ksp": "cg"}}},
        {"storage": {"shard_size": 3}},
        {"splits": {"train": 0.5}},
        {"train": {"epochs": 3}},
        {"licence": "CC0"},
    ]
    inside = [
        {"seed": 1},
        {"rtol": 1e-6},
        {"mesh": {"domain": "unit_square", "resolution": 9}},
        {"problem": BASE["problem"] | {"source": "x"}},
        {"problem": BASE["problem"] | {"boundary": 1}},
        {"problem": BASE["problem"] | {"output_space": {"family": "P", "degree": 2}}},
        {"problem": {"family": "darcy", "coefficient": {"law": "two_phase"}}},
    ]
    assert all(data_key(spec(**change)) == key for change in outside)
    assert len({key} | {data_key(spec(**change)) for change in inside}) == len(inside) + 1


def test_the_key_does_not_depend_on_how_values_are_written():
    written = {
        "problem": BASE["problem"] | {"source": 1, "output_space": {"family": "P", "degree": 1}}
    }
    assert data_key(spec(**written)) == data_key(spec())
    swapped = {"problem": BASE["problem"] | {"source": "y + x"}}
    assert data_key(spec(**swapped)) == data_key(spec(problem=BASE["problem"] | {"source": "x+y"}))


def test_a_revision_of_a_part_changes_the_key(monkeypatch):
    from pipeline.inputs import CosineFieldSpec

    key = data_key(spec())
    monkeypatch.setattr(CosineFieldSpec, "REVISION", 2)
    assert data_key(spec()) != key


def test_overrides_create_groups_where_there_is_null():
    raw = json.loads(json.dumps(BASE)) | {"train": None}
    spec = parse_spec(raw, ["train.epochs=3"])
    assert spec.train is not None and spec.train.epochs == 3


def test_overrides_create_groups_and_are_yaml():
    found = parse_spec(json.loads(json.dumps(BASE)), ["solve.strategy.ksp=cg", "rtol=1e-6"])
    assert (found.solve.strategy.ksp, found.rtol) == ("cg", 1e-6)


def test_the_dumped_spec_is_the_spec():
    first = spec(train={"epochs": 2})
    again = parse_spec(yaml.safe_load(yaml.safe_dump(first.model_dump(mode="json"))))
    assert again == first


def test_the_schema_describes_every_field():
    schema = Spec.model_json_schema()
    assert {"problem", "mesh", "samples"} <= set(schema["required"])
    assert all("description" in p or "$ref" in p for p in schema["properties"].values())


def test_strategies_of_the_spec_are_those_of_the_solvers():
    from solvers import Strategy

    made = Strategy(**StrategySpec().model_dump())
    assert set(StrategySpec.model_fields) | {"block"} == set(Strategy.__dataclass_fields__)
    assert made.label == "cg+icc"


KEYS = st.sampled_from([*BASE, "solve", "rtol", "zz"])
PLAIN = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda c: st.lists(c, max_size=3) | st.dictionaries(KEYS, c, max_size=5),
)


@given(PLAIN)
def test_no_input_is_anything_but_a_spec_or_a_spec_error(raw):
    try:
        parse_spec(raw)
    except SpecError as error:
        assert error.mistakes
