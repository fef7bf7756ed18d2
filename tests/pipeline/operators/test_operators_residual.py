"""The residual loss: its tables are an assembly's, its norm bounds the error, it finds u alone."""

import meshes  # isort: skip
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from mpi4py import MPI
from scipy.sparse import csr_matrix, random_array

from pipeline import stages
from pipeline.assembled import _canonical_matrix, from_spec
from pipeline.discretisation import Discretisation
from pipeline.operators.errors import TrainingError
from pipeline.operators.training.residual import ResidualLoss
from pipeline.spec import load_spec
from storage import DataFolder, open_dataset, read_spaces

EXAMPLES = Path(__file__).parents[3] / "examples"
P2 = "problem.output_space.degree=2"
G = "problem.boundary={law: uniform, low: 1, high: 2}"
CASES = {
    "darcy-p1": ["darcy", "mesh.resolution=6", "problem.source={law: uniform, low: 1, high: 2}"],
    "darcy-p2": ["darcy", "mesh.resolution=4", P2, G],  # Dirichlet values that differ by sample
    "darcy-mixed-rt2": [
        "darcy-mixed",
        "mesh.resolution=3",
        "problem.coefficient=2.0",
        "problem.source={law: gaussian, field: {kind: cosine, alpha: 2.0, tau: 3.0}}",
        "problem.flux_space.degree=2",  # transformations that are no signs
    ],
    "helmholtz": ["helmholtz", "mesh.resolution=4", "problem.wave_number=5.0"],
    "stokes": ["stokes", "mesh.size=0.15", "problem.viscosity={law: uniform, low: 1, high: 2}"],
    "elasticity": ["elasticity", "mesh.resolution=[6, 2]"],
    "curl-curl": ["curl-curl", "mesh.resolution=3", P2],
}
DIRECT = "solve.strategy={ksp: preonly, pc: lu}"


class Case:
    """A small real data set, its assembled operators, and all its samples."""

    def __init__(self, name, root):
        example, *more = CASES[name]
        sets = ["samples=3", "train=null", DIRECT, *more]
        self.spec = load_spec(EXAMPLES / f"{example}.yaml", sets)
        stages.solve(self.spec, root, quiet=True)
        (place,) = (p for p in root.iterdir() if p.is_dir())
        folder = DataFolder(place)
        stages.finalise(self.spec, folder)
        self.tree, self.data = read_spaces(folder.spaces), open_dataset(place)
        self.operators = from_spec(self.spec, self.tree)
        names = {n: n.removeprefix("inputs/") for n in self.operators.inputs}
        self.columns = {n: self.data.read(short) for n, short in names.items()}
        self.z = self.operators.data(self.columns)
        self.fields = {n: torch.from_numpy(self.data.read(n)) for n in self.operators.outputs}
        self.u = self.operators.solution(self.fields)

    @property
    def free(self):
        return torch.from_numpy(self.operators.free)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return cache(lambda name: Case(name, tmp_path_factory.mktemp(name)))


@pytest.mark.parametrize("name", CASES)
def test_stored_solutions_solve_the_tables(case, name):
    it = case(name)
    found = ResidualLoss(it.operators).relative(it.u, it.z)
    assert found.shape == (3,) and found.max() < 1e-6
    F, at_zero = ResidualLoss(it.operators).residuals(it.u, it.z)
    assert (F.norm(dim=1) / at_zero.norm(dim=1)).max() < 1e-6
    wrong = it.u.clone()
    wrong[:, it.free] *= 1.01
    found = ResidualLoss(it.operators).relative(wrong, it.z)
    np.testing.assert_allclose(found, 0.01, rtol=1e-4)  # F(1.01 u) = −0.01 A_ff u = −0.01 F(u_D)


@pytest.mark.parametrize("name", CASES)
def test_tables_do_what_a_fresh_assembly_does(case, name):
    it, rng = case(name), np.random.default_rng(1)
    problem = (there := Discretisation(it.spec, it.tree, MPI.COMM_SELF)).problem
    tables = it.tree["spaces"]
    maps = {
        n: meshes.CanonicalMap(V, tables[it.tree["fields"][n]["space"]])
        for n, (V, _) in problem.parts.items()
    }

    def local(u):
        w = np.zeros(len(problem.w.x.array))
        for n, (start, stop) in it.operators.outputs.items():
            w[problem.parts[n][1]] = maps[n].from_canonical(u[start:stop])
        return w

    u, test = it.u.numpy().copy(), np.zeros((4, it.operators.dim))
    u[:, it.operators.free] = rng.standard_normal((3, len(it.operators.free)))
    test[:, it.operators.free] = rng.standard_normal((4, len(it.operators.free)))
    F, _ = ResidualLoss(it.operators).residuals(torch.from_numpy(u), it.z)
    for i in range(3):
        there.set({n: values[i] for n, values in it.columns.items()})
        A, b = problem.assemble(by_forms=True)
        indptr, indices, values = A.getValuesCSR()
        w = local(u[i])
        theirs = b.array_r - csr_matrix((values, indices, indptr)) @ w
        expected = [local(v) @ theirs for v in test]
        size = np.abs(F[i].numpy()).max()
        np.testing.assert_allclose(test[:, it.operators.free] @ F[i].numpy(), expected, rtol=0,
                                   atol=1e-11 * size)  # fmt: skip


def test_the_matrix_is_that_of_an_assembly(case):
    it = case("darcy-p2")
    there = Discretisation(it.spec, it.tree, MPI.COMM_SELF)
    problem, table = there.problem, it.tree["spaces"]["P2"]
    to = meshes.CanonicalMap(problem.W, table).from_canonical(np.arange(it.operators.dim) * 1.0)
    order = np.argsort(np.rint(to))
    there.set({n: values[1] for n, values in it.columns.items()})
    A, _ = problem.assemble(by_forms=True)
    indptr, indices, values = A.getValuesCSR()
    free = it.operators.free
    expected = csr_matrix((values, indices, indptr))[order][:, order][free][:, free]
    found = it.operators.matrix(it.z[1])[:, free]
    assert abs(found - expected).max() < 1e-12 * abs(expected).max()


def test_a_matrix_is_brought_to_another_numbering_with_all_weights():
    """Serial meshes have the stored numbering; other ones change signs and mix an entity's dofs."""
    A, P = (csr_matrix(random_array((7, n), density=0.4, rng=n)) for n in (7, 6))
    i, j = A.tocoo().coords
    rows, columns, T, base = _canonical_matrix((i * 7 + j, csr_matrix(A.data[:, None]), A.data), P)
    expected = (P.T @ A @ P).toarray()
    for values in (base, T.toarray()[:, 0]):
        found = csr_matrix((values, (rows, columns)), shape=(6, 6)).toarray()
        np.testing.assert_allclose(found, expected, atol=1e-14)


def test_the_dual_norm_bounds_the_error_in_h1(case):
    """α ‖e‖ ≤ ‖F‖_* ≤ β ‖e‖, α = min a / (1 + 1/(2π²)) by Poincaré's inequality, β = max a."""
    it, loss = case("darcy-p1"), ResidualLoss(case("darcy-p1").operators)
    error = torch.zeros_like(it.u)
    error[:, it.free] = torch.from_numpy(
        np.random.default_rng(2).standard_normal((3, len(it.free)))
    )
    _, at_zero = loss.residuals(it.u, it.z)
    dual = loss.relative(it.u + error, it.z) * loss._norm(at_zero)
    e = error[:, it.free].numpy()
    h1 = np.sqrt(np.einsum("ij,ji->i", e, it.operators.gram @ e.T))
    a = it.columns["inputs/a"]
    low, high = a.min(axis=1) / (1 + 1 / (2 * np.pi**2)), a.max(axis=1)
    assert np.all(dual.numpy() >= low * h1) and np.all(dual.numpy() <= high * h1)


@pytest.mark.parametrize("name", ["stokes", "darcy-mixed-rt2"])
def test_gradients_are_those_of_finite_differences(case, name):
    it = case(name)
    loss, rng = ResidualLoss(it.operators), np.random.default_rng(3)
    directions = torch.from_numpy(rng.standard_normal((4, it.operators.dim)))
    directions[:, np.setdiff1d(np.arange(it.operators.dim), it.operators.free)] = 0.0

    def along(t):
        return loss.relative(it.u[:2] * 1.1 + t @ directions, it.z[:2])

    t = torch.from_numpy(rng.standard_normal((2, 4))).requires_grad_()
    assert torch.autograd.gradcheck(along, t, rtol=1e-6)


def test_no_gradient_goes_to_dirichlet_values_and_none_is_nan_at_the_solution(case):
    it, loss = case("darcy-p2"), ResidualLoss(case("darcy-p2").operators)
    u = (it.u * 1.2).float().requires_grad_()
    loss(u, torch.from_numpy(it.z)).backward()
    constrained = np.setdiff1d(np.arange(it.operators.dim), it.operators.free)
    assert len(constrained) and not u.grad[:, constrained].any() and u.grad[:, it.free].any()
    zero = torch.zeros(1, len(it.free), dtype=torch.float64, requires_grad=True)
    loss._norm(zero).sum().backward()
    assert not zero.grad.any()


@pytest.mark.parametrize("name", ["darcy-p1", "darcy-p2", "helmholtz"])
def test_a_fit_without_labels_finds_the_solution(case, name):
    it, loss = case(name), ResidualLoss(case(name).operators)
    truth, z = it.u[:1], it.z[:1]
    u = truth.clone()
    u[:, it.free] = 0.0
    start = u.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [start], max_iter=250, history_size=40, line_search_fn="strong_wolfe",
        tolerance_grad=0.0, tolerance_change=0.0,
    )  # fmt: skip

    def closure():
        optimiser.zero_grad()
        value = loss.relative(start, z).square().sum()
        value.backward()
        return value

    optimiser.step(closure)
    fitted = start.detach()
    constrained = np.setdiff1d(np.arange(it.operators.dim), it.operators.free)
    assert torch.equal(fitted[:, constrained], truth[:, constrained])
    for name, (begin, end) in it.operators.outputs.items():
        mass = it.tree["spaces"][it.tree["fields"][name]["space"]]["grams"]["mass"]
        error, size = (
            float(v @ (mass @ v)) ** 0.5
            for v in ((fitted - truth)[0, begin:end].numpy(), truth[0, begin:end].numpy())
        )
        assert error < 1e-3 * size


@pytest.mark.parametrize(
    "example, sets, why",
    [
        ("heat", [], "'heat' marches in time"),
        ("lid-driven-cavity", [], "is nonlinear in its solution"),
        ("darcy-moving-hole", [], "has another mesh for each sample"),
        ("helmholtz", ["mesh.resolution=2"], "not affine in the random data"),
        ("darcy-mixed", ["mesh.resolution=2"], "operator of family 'darcy_mixed' is not affine"),
    ],
)
def test_other_problems_are_refused(example, sets, why):
    from pipeline.spaces import spaces_tree

    spec = load_spec(EXAMPLES / f"{example}.yaml", ["train=null", *sets])
    with pytest.raises(TrainingError, match=why):
        from_spec(spec, spaces_tree(spec) if sets else {})


def test_what_does_not_fit_is_named(case):
    it = case("darcy-p2")
    loss = ResidualLoss(it.operators)
    with pytest.raises(TrainingError, match=r"expected \(3, 81\) and"):
        loss(it.u[:, :-1], it.z)
    with pytest.raises(TrainingError, match=r"expected 'parameters/g' among them"):
        it.operators.data({"inputs/a": it.columns["inputs/a"]})
    with pytest.raises(TrainingError, match=r"'inputs/a' has 24 values a sample, expected 25"):
        it.operators.data(it.columns | {"inputs/a": it.columns["inputs/a"][:, 1:]})
