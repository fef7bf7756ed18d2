"""What a spec may say for an input, and what it hears if it is wrong."""

import json
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest
from pydantic import Field, ValidationError

import pipeline.inputs as inputs
from pipeline.expressions import function
from pipeline.inputs import Coefficient, DesignSpec, ScalarCoefficient, is_field_law, is_law
from pipeline.models import SpecModel, identity
from pipeline.spec_errors import mistakes, models_within


class Some(SpecModel):
    """A spec with inputs."""

    a: Coefficient = Field(1.0, description="A field.", validate_default=True)
    k: ScalarCoefficient = Field(2.0, description="A number.")
    design: DesignSpec = Field(DesignSpec(), description="The design.")


class Root(SpecModel):
    """The whole."""

    problem: Some = Field(description="The problem.")


LAWS = [m for m in models_within(Some.model_fields["a"].annotation)]
GAUSSIAN = [inputs.CosineFieldSpec, inputs.MaternFieldSpec]


def problem(**keys):
    return Root.model_validate({"problem": keys}).problem


@pytest.mark.parametrize(
    ("given", "expected"),
    [(1, "1.0"), (0.5, "0.5"), ("x*y + z", "x*y + z"), ("2*x/2", "x"), ("3", "3.0")],
)
def test_numbers_and_expressions_have_one_form(given, expected):
    assert problem(a=given).a == expected
    assert not is_law(problem(a=given).a)
    assert problem().a == "1.0"


def test_laws_are_told_apart():
    some = problem(
        a={"law": "lognormal", "field": {"kind": "matern", "length": 0.1}},
        k={"law": "uniform", "low": 0, "high": 1},
    )
    assert is_field_law(some.a) and is_law(some.a) and some.a.space.degree == 1
    assert is_law(some.k) and not is_field_law(some.k)
    assert isinstance(some.a.field, inputs.MaternFieldSpec)
    assert problem(a={"law": "two_phase"}).a.space.family == "DG"
    assert problem(k=3).k == 3.0 and is_law(problem(a={"law": "normal"}).a)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"a": {"law": "cubic"}}, ["problem.a.law", "'cubic'", "'two_phase'", "'categorical'"]),
        ({"a": {"mean": 1}}, ["problem.a", "missing key", "law"]),
        ({"a": {"law": "lognormal", "high": 3}}, ["problem.a.high", "unknown key", "mean, clip"]),
        ({"a": {"law": "lognormal", "mean": 99}}, ["problem.a.mean", "got 99", "50"]),
        ({"a": {"law": "gaussian", "field": {"kind": "blob"}}}, ["problem.a.field.kind", "'blob'"]),
        ({"a": {"law": "lognormal", "field": {"kind": "cosine", "tau": 0}}},
         ["problem.a.field.tau", "got 0"]),
        ({"a": {"law": "gaussian", "clip": [2, 1]}}, ["problem.a.clip", "low < high"]),
        ({"a": "open('x')"}, ["problem.a:", "allowed", "pi"]),
        ({"a": [1, 2]}, ["problem.a:", "a number, an expression", "[1, 2]"]),
        ({"a": True}, ["problem.a:", "True"]),
        ({"a": None}, ["problem.a:", "None"]),
        ({"a": float("nan")}, ["problem.a:", "nan"]),
        ({"k": "x"}, ["problem.k", "number", "'x'"]),
        ({"k": float("inf")}, ["problem.k", "finite"]),
        ({"k": {"law": "lognormal"}}, ["problem.k.law", "'lognormal'", "'uniform'"]),
        ({"k": {"law": "uniform", "low": 1}}, ["problem.k.high", "missing", "Upper end"]),
        ({"k": {"law": "uniform", "low": 1, "high": 0}}, ["problem.k", "low < high"]),
        ({"design": {"kind": "grid"}}, ["problem.design.kind", "'grid'", "'sobol'"]),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_path_value_and_what_is_allowed(keys, expected):
    with pytest.raises(ValidationError) as caught:
        problem(**keys)
    (line,) = mistakes(caught.value, Root)
    assert "\n" not in line
    for text in expected:
        assert text in line


def test_the_dumped_spec_is_the_spec():
    some = problem(a={"law": "two_phase", "field": {"kind": "cosine"}}, k={"law": "normal"})
    for dumped in (some.model_dump(), json.loads(some.model_dump_json())):
        assert Some.model_validate(dumped) == some


@pytest.mark.parametrize("model", [*LAWS, *GAUSSIAN, DesignSpec])
def test_every_key_is_described_and_every_law_has_a_revision(model):
    assert model.REVISION == 1 and model.__doc__
    assert all(field.description for field in model.model_fields.values())


def test_the_schema_knows_numbers_texts_and_laws():
    schema = Root.model_json_schema()["$defs"]["Some"]["properties"]["a"]
    plain, laws = schema["anyOf"]
    assert plain["type"] == ["string", "number"]
    assert set(laws["discriminator"]["mapping"]) == {typing.get_args(
        m.model_fields["law"].annotation)[0] for m in LAWS} and len(LAWS) == 10  # fmt: skip


def test_the_identity_has_the_revision_of_law_and_field(monkeypatch):
    some = problem(a={"law": "lognormal"})
    key = identity(some)
    assert key["a"]["revision"] == key["a"]["field"]["revision"] == 1
    monkeypatch.setattr(inputs.CosineFieldSpec, "REVISION", 2)
    assert identity(some) != key


def test_a_coordinate_that_the_mesh_lacks_is_refused():
    assert np.allclose(function("x*z")([np.ones(2), np.ones(2), 3 * np.ones(2)], np), 3)
    with pytest.raises(ValueError, match="uses z, but the mesh is in 2-D: only x, y"):
        function("x + z")([0.1, 0.2], np)
    with pytest.raises(ValueError, match="uses y, z"):
        function("y*z")([0.1], np)


def test_importing_starts_no_mpi():
    code = "import sys, pipeline.inputs; print([m for m in sys.modules if m in "
    code += "('mpi4py.MPI', 'petsc4py', 'dolfinx', 'basix', 'sympy', 'scipy.stats')])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
