"""Every file of `examples/`, small, from end to end; a new example joins by itself."""

import re
from pathlib import Path

import pytest
import sympy
import yaml
from sympy.core.function import AppliedUndef

from pipeline import stages
from pipeline.spec import load_spec, parse_spec
from storage import DataFolder, open_dataset

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
SAMPLES = 3
OPERATORS = {
    "Derivative",
    "Piecewise",
    "Eq",
    "And",
    "True",
    "pi",
    "Abs",
    "exp",
    "log",
    "sqrt",
    "sin",
}
OPERATORS |= {"cos", "tan", "sinh", "cosh", "tanh", "e"}
SIZES = {"disk": 0.4, "annulus": 0.3, "perforated_plate": 0.15, "channel_cylinder": 0.12}


def small(path):
    """Overrides for a few samples on a coarse mesh, from the keys of the spec's own mesh."""
    raw = yaml.safe_load(path.read_text())
    found = [f"samples={SAMPLES}", "train=null", "storage.shard_size=2"]
    mesh = raw["mesh"]
    if "resolution" in mesh:
        n = mesh["resolution"]
        if isinstance(n, list):
            found.append(f"mesh.resolution={[max(1, min(k, k // 8 or 2)) for k in n]}")
        else:
            found.append(f"mesh.resolution={min(n, 8)}")
    if "size" in mesh:
        found.append(f"mesh.size={max(mesh['size'], SIZES.get(mesh['domain'], 0.3))}")
    return found


@pytest.mark.timeout(120)
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_from_end_to_end(path, tmp_path):
    spec = load_spec(path, small(path))
    stages.solve(spec, tmp_path, quiet=True)
    (place,) = (p for p in tmp_path.iterdir() if p.is_dir())
    folder = DataFolder(place)
    stages.finalise(spec, folder)
    result = stages.check(spec, folder, full=True)
    assert result.sound, result.as_dict()
    assert result.recomputed == SAMPLES
    dataset = open_dataset(place, verify=True)
    assert len(dataset) == SAMPLES and not dataset.manifest["failures"]
    assert dataset.column("solve/true_residual").max() <= spec.rtol
    assert (place / "previews" / "samples.png").stat().st_size > 1000
    assert_says_itself(dataset)


def assert_says_itself(dataset):
    """All texts of `manifest.problem` parse, to symbols and functions that the manifest explains.

    A name that SymPy has for something of its own, such as E or beta, would parse to that.
    """
    said = dataset.manifest["problem"]
    assert said["strong"] and said["weak"]
    known = {*"xyz"}
    for name, entry in {**said["symbols"], **said["outputs"]}.items():
        known |= {name, entry.get("written", name)}
    for text in texts_of(said):
        parsed = sympy.sympify(text, evaluate=False)
        found = {str(s) for s in parsed.free_symbols}
        found |= {f.func.__name__ for f in parsed.atoms(AppliedUndef)}
        assert set(re.findall(r"[A-Za-z_]\w*", text)) - OPERATORS <= found, text
        assert {root_of(name, known) for name in found} <= known, text


def texts_of(said):
    texts = [*said["strong"], *said["initial"], *(term["integrand"] for term in said["weak"])]
    for condition in said["boundary"]:
        texts += [*condition["value"], *condition["expression"]]
    return texts


def root_of(name, known):
    """The symbol that a name belongs to: v_u_x and u_before_y are u's."""
    bare = name.removeprefix("v_").replace("_before", "")
    while bare not in known and "_" in bare.rstrip("_"):
        bare = bare.rpartition("_")[0]
    return bare


CLASHING = """
from typing import Literal
from rekrylov import Coefficient, Family, Output, SpaceSpec, quantity


class Clash(Family):
    '''Symbols that are names of SymPy's.'''

    family: Literal["clash"]
    first: Coefficient = quantity("S", "diffusivity")
    second: Coefficient = quantity("beta", "absorption")
    third: Coefficient = quantity("N", "source")

    def outputs(self, dim):
        return [Output("E", SpaceSpec(family="P", degree=1), "1", "solution")]

    def strong(self, q, u, c):
        return -q.div(c.S * q.grad(u)) + c.beta * u - c.N

    def weak(self, q, u, v, c):
        return q.dx(c.S * q.inner(q.grad(u), q.grad(v)) + (c.beta * u - c.N) * v)

    def conditions(self, q, c):
        return [q.dirichlet("E", 0.0)]
"""


def test_names_of_sympys_own_are_written_otherwise(tmp_path):
    (tmp_path / "family.py").write_text(CLASHING)
    problem = {"family": "clash", "first": {"law": "lognormal"}, "third": "x"}
    problem |= {"second": {"law": "uniform", "low": 1.0, "high": 2.0}}
    mesh = {"domain": "unit_square", "resolution": 4}
    raw = {"name": "t", "samples": 2, "family_file": "family.py", "problem": problem, "mesh": mesh}
    spec = parse_spec(raw, base=tmp_path)
    stages.solve(spec, tmp_path / "data", quiet=True)
    (place,) = (tmp_path / "data").iterdir()
    stages.finalise(spec, DataFolder(place))
    dataset = open_dataset(place)
    assert dataset.inputs == ["S"] and dataset.outputs == ["E"] and dataset.parameters == ["beta"]
    assert_says_itself(dataset)
    said = dataset.manifest["problem"]
    assert said["symbols"]["beta"]["written"] == "beta_" and said["outputs"]["E"]["written"] == "E_"
    x, y, beta = sympy.symbols("x y beta_")
    E, S, N = (sympy.Function(f"{name}_")(x, y) for name in "ESN")
    flux = [S * sympy.diff(E, s) for s in (x, y)]
    expected = -sympy.diff(flux[0], x) - sympy.diff(flux[1], y) + beta * E - N
    assert sympy.expand(sympy.sympify(said["strong"][0]) - expected) == 0
