"""Fluxes that conserve mass whatever the coefficients of potential and harmonic fluxes are."""

import numpy as np
import pytest
import scipy.sparse as sp

from pipeline.operators import TrainingError
from pipeline.operators.fe.flux import DivergenceConstraint
from storage import open_dataset

HOLES = "holes: [{x: 0.5, y: 0.5, radius: 0.2}, {x: 1.5, y: 0.5, radius: 0.2}]"
TWO = f"{{domain: perforated_plate, size: 0.25, high: [2.0, 1.0], {HOLES}}}"
RING = "{domain: annulus, size: 0.35}"
MATERN = "{kind: matern, length: 0.4}"
RANDOM = f"{{law: gaussian, field: {MATERN}}}"

# name → mesh, walls, source, flux space; potential, number of harmonic fluxes
CASES = {
    "square": ("{domain: unit_square, resolution: 4}", "[]", "1 + x", "RT, degree: 1", "P1", 0),
    "channel": (
        *("{domain: unit_square, resolution: 4}", "[bottom, top]", RANDOM),
        *("RT, degree: 1", "P1", 0),
    ),
    "quads": (
        *("{domain: unit_square, resolution: 4, cell: quadrilateral}", "[left]", RANDOM),
        *("RT, degree: 2", "P2", 0),
    ),
    "ring": (RING, "[]", RANDOM, "RT, degree: 1", "P1", 1),
    "ring_walled": (RING, "[inner]", RANDOM, "BDM, degree: 1", "P2", 0),
    "two_holes": (TWO, "[bottom]", RANDOM, "RT, degree: 2", "P2", 2),
    "two_holes_walled": (TWO, "[hole, bottom]", "0.0", "BDM, degree: 1", "P2", 0),
    "box_tube": (
        *("{domain: box, resolution: [2, 2, 2]}", "[front, back, bottom, top]", RANDOM),
        *("RT, degree: 1", "N1curl1", 1),
    ),
    "box_scalar": (
        *("{domain: box, resolution: [1, 2, 2]}", "[front]", "{law: normal}"),
        *("BDM, degree: 1", "N1curl2", 0),
    ),
}


def make(root, mesh, walls, source, space):
    """Solve 4 samples of `darcy_mixed`; without a manifest, which nothing here needs."""
    from pipeline.stages import sample, solve
    from rekrylov import load_spec

    settings = {
        "samples": 4,
        "train": "null",
        "mesh": mesh,
        "problem.walls": walls,
        "problem.source": source if source.startswith("{") else f'"{source}"',
        "problem.flux_space": f"{{family: {space}}}",
        "problem.coefficient.field": MATERN,
    }
    spec = load_spec("examples/darcy-mixed.yaml", [f"{k}={v}" for k, v in settings.items()])
    folder = sample(spec, root, quiet=True)
    solve(spec, root, quiet=True)
    return open_dataset(folder)


class Case:
    def __init__(self, name, root):
        self.data = make(root, *CASES[name][:4])
        self.potential, self.count = CASES[name][4:]
        self.constraint = DivergenceConstraint.from_dataset(self.data, "sigma")
        self.sigma = self.data.read("sigma")
        self.inputs = {n: self.data.read(n) for n in [*self.data.inputs, *self.data.parameters]}
        self.field = self.data.fields["sigma"]
        self.derivatives = {
            kind: next(
                sp.csr_matrix(table["matrix"])
                for table in map(self.data.derivatives.get, self.data.derivatives)
                if table["operator"] in kind
                and self.field.space in (table["source"], table["target"])
            )
            for kind in ("div", "rot curl")
        }
        self.mass = sp.csr_matrix(self.data.spaces[self.field.space]["grams"]["mass"])

    @property
    def tables(self):
        """Arguments of `DivergenceConstraint`."""
        D, C = self.derivatives["div"], self.derivatives["rot curl"]
        spaces = self.data.spaces
        Q, R = (spaces[s]["grams"]["mass"] for s in (self.pressure, self.potential))
        walls = self.field.constrained, self.field.values
        return (D, Q), self.mass, walls, (self.potential, C, R, self.potential[0] == "P")

    @property
    def pressure(self):
        return self.data.fields["p"].space


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    made = {}

    def get(name):
        if name not in made:
            made[name] = Case(name, tmp_path_factory.mktemp(name))
        return made[name]

    return get


@pytest.mark.parametrize("name", CASES)
def test_any_coefficients_conserve_mass(cases, name):
    case, rng = cases(name), np.random.default_rng(3)
    made = case.constraint
    psi, c = (rng.normal(size=(4, m.shape[1])) for m in (made.curl, made.cohomology))
    sigma = made.particular(case.inputs) + (made.curl @ psi.T).T + c @ made.cohomology.T
    D = case.derivatives["div"]
    lost = np.abs(D @ sigma.T - D @ case.sigma.T).max()  # stored ones: solved by LU
    assert lost < 1e-10 * (abs(D) @ np.abs(sigma.T)).max()
    assert made.defect(sigma, case.inputs).max() < 1e-14
    assert np.array_equal(sigma[:, case.field.constrained], [case.field.values] * 4)
    sigma[0] += 1e-3 * np.abs(sigma[0]).max() * rng.normal(size=sigma.shape[1])
    assert made.defect(sigma, case.inputs)[0] > 1e-5


@pytest.mark.parametrize("name", CASES)
def test_stored_fluxes_are_reached(cases, name):
    case = cases(name)
    made = case.constraint
    psi, c = made.coordinates(case.sigma)
    back = made.particular(case.inputs) + (made.curl @ psi.T).T + c @ made.cohomology.T
    assert np.abs(back - case.sigma).max() < 1e-10 * np.abs(case.sigma).max()


@pytest.mark.parametrize("name", CASES)
def test_dimensions_are_the_dense_ranks(cases, name):
    case = cases(name)
    made, D = case.constraint, case.derivatives["div"].toarray()
    C = case.derivatives["rot curl"]
    assert made.potential == case.potential
    D[:, case.field.constrained] = 0.0
    free = D.shape[1] - len(case.field.constrained)
    assert np.abs((C @ made.reduction - made.curl).toarray()).max() < 1e-13 * abs(C).max()
    kernel = free - np.linalg.matrix_rank(D)
    assert kernel - np.linalg.matrix_rank(made.curl.toarray()) == case.count
    assert made.cohomology.shape == (D.shape[1], case.count)
    spanned = np.hstack([made.curl.toarray(), made.cohomology])
    assert np.linalg.matrix_rank(spanned) == kernel
    gram = made.cohomology.T @ case.mass @ made.cohomology
    assert np.allclose(gram, np.eye(case.count), atol=1e-12)


def test_all_divergence_free_fluxes_of_a_plane_potential_keep_walls_constant(cases):
    """Without the constants on walls, the walled ring and channel would lose their net flow."""
    for name, parts in (("channel", 2), ("ring_walled", 1), ("two_holes_walled", 3)):
        case = cases(name)
        on_walls = abs(case.derivatives["rot curl"][case.field.constrained]).sum(axis=0).A1 > 0
        columns = np.asarray(case.constraint.reduction[on_walls].sum(axis=0)).ravel()
        assert (columns > 1).sum() == parts, name


@pytest.mark.parametrize("name", ["ring", "two_holes", "box_tube"])
def test_without_harmonic_fluxes_net_flow_is_lost(cases, name):
    case = cases(name)
    made = case.constraint
    psi, c = made.coordinates(case.sigma)
    curls_alone = made.particular(case.inputs) + (made.curl @ psi.T).T
    assert made.defect(curls_alone, case.inputs).max() < 1e-14
    assert np.abs(curls_alone - case.sigma).max() > 1e-2 * np.abs(case.sigma).max()
    assert np.abs(c).max() > 1e-2


@pytest.mark.parametrize("name", ["channel", "two_holes"])
def test_particular_flux_has_least_norm(cases, name):
    case = cases(name)
    D, M = case.derivatives["div"].toarray(), case.mass.toarray()
    free = np.setdiff1d(np.arange(len(M)), case.field.constrained)
    n, m = len(free), len(D)
    saddle = np.block([[M[np.ix_(free, free)], D[:, free].T], [D[:, free], np.zeros((m, m))]])
    right = np.r_[np.zeros((n, 4)), D @ case.sigma.T]
    expected = np.linalg.solve(saddle, right)[:n].T
    found = case.constraint.particular(case.inputs)[:, free]
    assert np.allclose(found, expected, atol=1e-9 * np.abs(expected).max())


def test_walls_may_let_something_through(cases):
    case = cases("channel")
    D, M, (walls, _), potential = case.tables
    values = np.linspace(-1.0, 1.0, len(walls))
    made = DivergenceConstraint(D, M, (walls, values), potential)
    sigma = made.particular({"a": np.ones((2, 1))})
    assert np.array_equal(sigma[:, walls], [values] * 2)
    assert np.abs(D[0] @ sigma.T).max() < 1e-12


def test_harmonic_fluxes_do_not_depend_on_the_numbering(cases):
    case, rng = cases("two_holes"), np.random.default_rng(5)
    (D, Q), M, (walls, values), (name, C, R, plane) = case.tables
    order, signs = rng.permutation(M.shape[0]), rng.choice([-1.0, 1.0], M.shape[0])
    P = sp.diags(signs) @ sp.identity(len(order), format="csr")[order]
    place = np.argsort(order)[walls]
    moved = DivergenceConstraint(
        (sp.csr_matrix(D @ P.T), Q),
        sp.csr_matrix(P @ M @ P.T),
        (place, signs[place] * values),
        (name, sp.csr_matrix(P @ C), R, plane),
    )
    H, moved_H = case.constraint.cohomology, P.T @ moved.cohomology
    assert np.allclose(H @ H.T, moved_H @ moved_H.T, atol=1e-10)


def test_walls_all_around_need_a_balanced_source(cases):
    case = cases("ring")
    (D, Q), M, _, potential = case.tables
    boundary = np.flatnonzero(np.diff(D.tocsc().indptr) == 1)  # RT1: facets of one cell
    made = DivergenceConstraint((D, Q), M, (boundary, np.zeros(len(boundary))), potential)
    assert made.cohomology.shape[1] == 0
    cells = np.arange(D.shape[0]) / D.shape[0]
    balanced = cells - (Q @ cells).sum() / Q.sum()
    assert np.abs(D @ made._particular(balanced[None])[0] - balanced).max() < 1e-12
    with pytest.raises(TrainingError, match="doesn't balance inside closed walls"):
        made._particular(cells[None])


def test_source_is_found_with_its_sign(cases):
    found = {name: cases(name).constraint for name in ("ring", "box_scalar", "square")}
    assert [(c.source, c.sign) for c in found.values()] == [("f", 1), ("f", 1), (None, 0)]
    assert found["square"].particular({"a": np.ones((3, 1))}).shape[0] == 3


def test_a_flux_of_unknown_source_is_refused(tmp_path):
    data = make(tmp_path, "{domain: unit_square, resolution: 3}", "[]", RANDOM, "RT, degree: 1")
    del data.manifest["columns"]["inputs/f"]
    with pytest.raises(TrainingError, match=r"none of 0 .*\+a .*give the source as an input"):
        DivergenceConstraint.from_dataset(data, "sigma")


def test_what_is_no_flux_is_refused(cases):
    case = cases("ring")
    with pytest.raises(TrainingError, match="'p' in DG0: expected a flux in RT or BDM"):
        DivergenceConstraint.from_dataset(case.data, "p")
    with pytest.raises(TrainingError, match="'q': expected one of"):
        DivergenceConstraint.from_dataset(case.data, "q")
    with pytest.raises(TrainingError, match=r"inputs \['a'\]: the divergence follows from 'f'"):
        case.constraint.particular({"a": case.inputs["a"]})
    with pytest.raises(TrainingError, match=r"shape \(3,\); expected \(B, "):
        case.constraint.coordinates(np.zeros(3))


def test_potentials_that_are_none_are_refused(cases):
    (D, Q), M, walls, (name, C, R, plane) = cases("ring").tables
    wrong = C.copy()
    wrong.data[0] *= 1.5
    with pytest.raises(TrainingError, match="curls of P1 reach"):
        DivergenceConstraint((D, Q), M, walls, (name, wrong, R, plane))
