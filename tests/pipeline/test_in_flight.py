"""Samples under way at once: they must not notice each other."""

from collections import Counter
from contextlib import closing
from dataclasses import replace
from itertools import chain as chain_
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline import stages
from pipeline.chains import missing_batches
from pipeline.dataset_folder import data_folder
from pipeline.discretisation import Discretisation
from pipeline.in_flight import InFlight
from pipeline.interrupt import StopFlag
from pipeline.sampler import Sampler
from pipeline.spec import data_key, load_spec
from pipeline.stages.solve import world
from storage import read_order, read_spaces

EXAMPLES = Path(__file__).parents[2] / "examples"
SAMPLES = 7
CASES = {
    "poisson": ["mesh.resolution=6"],  # linear, one operator
    "darcy-moving-hole": ["mesh.size=0.2"],  # an operator and a mesh a sample
    "reaction-diffusion": ["mesh.resolution=6"],  # Newton steps
    "heat": ["mesh.resolution=6", "problem.steps=3"],  # time steps
    "hyperelastic": ["mesh.resolution=[10, 2]", "problem.steps=2"],  # both, and varying data
}
BLOCK = {"ksp": "preonly", "pc": "lu", "block": 16}
LU = {"ksp": "preonly", "pc": "lu"}
LATE = {}


def _late(systems, strategy, **options):
    """Hold sixteen systems as a block does, then solve them one by one."""
    from solvers import solve_stream

    held = []
    for system in chain_(systems, [None]):
        if system is not None:
            held.append(replace(system, A=system.A.copy(), b=system.b.copy()))
        if system is None or len(held) == 16:
            ready, held = held, []
            yield from solve_stream(ready, strategy, **options)


class Solved:
    """Everything that comes out of a chain, and what was seen on the way."""

    def __init__(self, spec, root, window, strategy, stop=None, hook=None):
        stop = StopFlag() if stop is None else stop  # a flag that isn't set is false
        from solvers import Strategy, solve_stream

        comm = world()
        folder = data_folder(spec, root)
        spaces = read_spaces(folder.spaces, verify=True)
        batches = missing_batches(folder, spec.ids, data_key(spec), False)
        self.ids = [int(i) for batch in batches for i in batch.ids]
        flight = InFlight(spec, spaces, batches, comm, stop, window)
        self.order, self.most, self.nones, self.outcomes = [], 0, 0, []
        self.inputs, self.outputs = {}, {}

        def watched():
            for system in flight:
                self.most = max(self.most, sum(s.outcome is None for s in flight._under_way))
                self.nones += system is None
                self.order += [] if system is None else [system.id]
                yield system

        stream = (_late if strategy == LATE else solve_stream)(
            watched(),
            strategy if strategy == "auto" else Strategy(**(strategy or LU)),
            rtol=spec.rtol,
            comm=comm,
            dtype=spec.dtype if spec.problem.LINEAR else "float64",
        )
        with closing(stream):
            for k, solution in enumerate(chain_(stream, [None])):
                if solution is not None:
                    flight.receive(solution)
                if hook is not None:
                    hook(k)
                for outcome, inputs, seconds, outputs in flight.finished():
                    assert set(seconds) == {"draw", "assemble"}
                    assert all(s >= 0 for s in seconds.values())
                    self.outcomes.append(outcome)
                    self.inputs[outcome.id], self.outputs[outcome.id] = inputs, outputs

    @property
    def finished(self):
        return [outcome.id for outcome in self.outcomes]


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Spec and root of a case, drawn and put in order once."""
    made = {}

    def make(name, samples=SAMPLES):
        if name not in made:
            root = tmp_path_factory.mktemp(name)
            changes = [f"samples={samples}", "train=null", "storage.shard_size=3", *CASES[name]]
            spec = load_spec(EXAMPLES / f"{name}.yaml", changes)
            stages.sample(spec, root, quiet=True)
            stages.order(spec, root)
            made[name] = (spec, root)
        return made[name]

    return make


def same(found, expected, tolerance):
    """Order and inputs are the same, outputs to a tolerance."""
    assert found.finished == expected.finished == expected.ids
    assert all(outcome.converged for outcome in found.outcomes)
    for i, outputs in expected.outputs.items():
        assert outputs
        for name, values in outputs.items():
            other = found.outputs[i][name]
            error = np.linalg.norm(other - values) / (np.linalg.norm(values) or 1.0)
            assert error <= tolerance, (i, name, error)
        for name, values in expected.inputs[i].items():
            np.testing.assert_array_equal(found.inputs[i][name], values)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", CASES)
def test_samples_do_not_notice_each_other(name, cases):
    """Windows of 1 and 16 with a solver that carries nothing: the same to rounding.

    An assembled system depends on a sample's data, boundary values and state alone.
    """
    spec, root = cases(name)
    one, many = Solved(spec, root, 1, LU), Solved(spec, root, 16, LATE)
    assert many.most == SAMPLES
    same(many, one, 1e-13)
    for a, b in zip(one.outcomes, many.outcomes, strict=True):
        assert (a.systems, a.iterations) == (b.systems, b.iterations)
    assert Counter(one.order) == Counter(many.order)
    assert one.order == sorted(one.order, key=one.ids.index)  # one sample after the other


@pytest.mark.timeout(120)
@pytest.mark.parametrize("strategy", [BLOCK, "auto"], ids=["block", "auto"])
@pytest.mark.parametrize("name", CASES)
def test_blocks_give_the_same_solutions(name, strategy, cases):
    """Sixteen lanes of systems of different samples, at different steps."""
    spec, root = cases(name)
    one, many = Solved(spec, root, 1, LU), Solved(spec, root, 16, strategy)
    same(many, one, 1e-4 if spec.dtype == "float32" else 1e-5)
    for outcome in many.outcomes:
        assert all(rho <= spec.rtol for rho in outcome.residuals)
        assert outcome.seconds > 0
    assert many.most == SAMPLES
    assert many.nones >= 1


@pytest.mark.parametrize("window", [1, 2, 3, 16])
def test_window(window, cases):
    """Never more under way than asked for; with steps, samples take turns."""
    spec, root = cases("heat")
    found = Solved(spec, root, window, BLOCK if window > 1 else LU)
    assert found.most == min(window, SAMPLES)
    assert found.finished == found.ids
    assert Counter(found.order) == {i: 3 for i in found.ids}


@pytest.mark.parametrize("window", [1, 4])
def test_asked_to_stop(window, cases):
    """What is under way ends well, nothing new begins."""
    spec, root = cases("heat")
    stop = StopFlag()

    def hook(k):
        stop.signal = 15

    found = Solved(spec, root, window, BLOCK if window > 1 else LU, stop, hook)
    assert found.finished == found.ids[: len(found.finished)]
    assert 1 <= len(found.finished) <= window
    assert all(outcome.converged for outcome in found.outcomes)


def test_refused_samples_pass_through(cases, monkeypatch):
    """Samples without a system, first, last and in between, come out in their places."""
    from pipeline.discretisation import Discretisation

    spec, root = cases("reaction-diffusion")
    ids = Solved(spec, root, 1, LU).ids
    refused, refusal = {ids[0], ids[3], ids[-1]}, Discretisation.march

    def march(self, i, columns):
        if i not in refused:
            return refusal(self, i, columns)
        monkeypatch.setattr(self, "refusal", lambda columns: "refused here")
        found = refusal(self, i, columns)
        monkeypatch.undo()
        monkeypatch.setattr(Discretisation, "march", march)
        return found

    monkeypatch.setattr(Discretisation, "march", march)
    for window, strategy in ((1, LU), (16, BLOCK)):
        found = Solved(spec, root, window, strategy)
        assert found.finished == ids
        failed = {outcome.id for outcome in found.outcomes if not outcome.converged}
        assert failed == refused
        assert all(bool(found.outputs[i]) == (i not in refused) for i in ids)


def test_stage_solve_writes_the_same_with_blocks(tmp_path):
    """`rekrylov solve` itself, with blocks and one by one."""
    rows = []
    for k, strategy in enumerate(("preonly, pc: lu", "preonly, pc: lu, block: 16")):
        root = tmp_path / str(k)
        changes = [f"samples={SAMPLES}", "train=null", "storage.shard_size=3", *CASES["heat"]]
        spec = load_spec(EXAMPLES / "heat.yaml", [*changes, f"solve.strategy={{ksp: {strategy}}}"])
        stages.solve(spec, root, quiet=True)
        rows.append(_columns(root))
    assert rows[0].keys() == rows[1].keys()
    assert any("outputs/" in name for name in rows[0])
    for name, values in rows[0].items():
        np.testing.assert_allclose(rows[1][name], values, rtol=1e-5, atol=1e-6, err_msg=name)


def _columns(root):
    """Shard and name → values, of inputs, outputs and ids."""
    found = {}
    for path in sorted(root.glob("*/shards/*.h5")):
        with h5py.File(path) as file:
            for group in ("inputs", "outputs"):
                for name in file[group]:
                    found[f"{path.name} {group}/{name}"] = file[group][name][()]
    return found


def test_a_marching_sample_gets_its_matrix_back(tmp_path):
    """Another sample's turn costs no assembly: the time steps of one sample have one matrix."""
    spec = load_spec(EXAMPLES / "heat.yaml", ["samples=2", "mesh.resolution=6"])
    folder = data_folder(spec, tmp_path)
    stages.sample(spec, tmp_path, quiet=True)
    spaces = read_spaces(folder.spaces)
    there = Discretisation(spec, spaces, world().Split(world().rank))
    sampler = Sampler(spec, spaces)
    inputs = [sampler.inputs(i) for i in range(2)]
    first = there.march(0, inputs[0]).send(None)
    entries, state = first.A.getValuesCSR()[2].copy(), there.state()
    other = there.march(1, inputs[1]).send(None)
    assert not np.array_equal(other.A.getValuesCSR()[2], entries)
    there.resume(inputs[0], state)
    before = first.A.stateGet()
    A, _ = there.problem.assemble()
    assert A.stateGet() == before  # not assembled again
    np.testing.assert_array_equal(A.getValuesCSR()[2], entries)


@pytest.mark.parametrize(("name", "one_operator"), [("poisson", True), ("darcy", False)])
def test_samples_of_one_operator_are_not_sorted(name, one_operator, tmp_path):
    """Their matrices are the same: no features are drawn, and the path is the order of the ids."""
    spec = load_spec(EXAMPLES / f"{name}.yaml", ["samples=6", "mesh.resolution=8", "train=null"])
    folder = data_folder(spec, tmp_path)
    stages.sample(spec, tmp_path, quiet=True)
    stages.order(spec, tmp_path)
    (segment,) = read_order(folder.order)
    assert (segment.path.tolist() == list(range(6))) == one_operator
