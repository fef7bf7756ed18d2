"""scikit-fem reads stored data sets, solves the same problems, and finds the same solutions.

Another implementation of elements, integrals and boundary conditions, with SciPy's direct solver.
Of Rekrylov it uses what is stored: the mesh, the inputs, the places of their dofs. The inputs are
such that the integrals are exact in both (polynomials, or constant in each cell), so that the
solutions agree to the tolerance of the stored ones.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import skfem
from scipy.spatial import KDTree
from skfem import Basis, ElementVector, FacetBasis, MeshTri
from skfem.helpers import ddot, div, dot, grad, sym_grad, trace

from pipeline import stages
from pipeline.spec import parse_spec
from storage import DataFolder, open_dataset
from storage.function import StoredFunction

TOLERANCE = 1e-7  # relative, in L²; stored solutions have residuals ≤ 1e-10
LOG = {"law": "lognormal", "field": {"kind": "cosine", "sigma": 0.7}}
PHASES = {"law": "two_phase"}
FIELD = {"law": "gaussian", "mean": 1.0, "field": {"kind": "cosine"}}
SQUARE = {"domain": "unit_square", "resolution": 7}
STEP = {"domain": "backward_step", "resolution": 5, "inlet": 1.0, "outlet": 2.0}
CYLINDER = {"domain": "channel_cylinder", "size": 0.1}


@pytest.fixture
def data(tmp_path):
    """Make a data set by the stages, and open it."""

    def make(problem, mesh):
        raw = {"name": "t", "samples": 3, "seed": 5, "rtol": 1e-10, "problem": problem}
        spec = parse_spec(raw | {"mesh": mesh})
        stages.solve(spec, tmp_path, quiet=True)
        (path,) = (p for p in tmp_path.iterdir() if p.is_dir())
        stages.finalise(spec, DataFolder(path))
        dataset = open_dataset(path)
        assert len(dataset) == 3
        return dataset

    return make


def mesh_of(dataset):
    """The stored mesh, cells in their order."""
    return MeshTri(dataset.mesh["points"].T.copy(), dataset.mesh["cells"].T.copy())


def facets_of(dataset, mesh, name):
    """scikit-fem's numbers of the stored facets of a name."""
    tags = dataset.mesh["facet_tags"]
    stored = np.asarray(tags["vertices"])[np.asarray(tags["values"]) == tags["names"][name]]
    number = {tuple(f): i for i, f in enumerate(np.sort(mesh.facets, axis=0).T.tolist())}
    return np.array([number[tuple(f)] for f in np.sort(stored, axis=1).tolist()])


def matching(space, points):
    """The node of a stored space at each point (d, n)."""
    distance, node = KDTree(space["points"]).query(points.T)
    assert distance.max() < 1e-12
    return node


def at_vertices(dataset, field, values, mesh):
    """A stored P1 function at scikit-fem's vertices."""
    return values[matching(dataset.spaces[dataset.fields[field].space], mesh.p)]


def by_cell(dataset, field, values):
    """A stored DG0 function in each cell."""
    return values[np.asarray(dataset.spaces[dataset.fields[field].space]["dofmap"])[:, 0]]


def coefficient(dataset, field, values, basis):
    """A stored P1 or DG0 function at the quadrature points of a basis."""
    if dataset.fields[field].space == "DG0":
        cells = np.arange(basis.mesh.nelements) if basis.tind is None else basis.tind
        return np.repeat(by_cell(dataset, field, values)[cells][:, None], basis.X.shape[-1], 1)
    P1 = basis.with_element(skfem.ElementTriP1())
    return np.asarray(P1.interpolate(at_vertices(dataset, field, values, basis.mesh)))


def stored_nodes(dataset, field, values, points):
    """Stored values (n, v) at the dof points (d, n)."""
    space = dataset.spaces[dataset.fields[field].space]
    return values.reshape(-1, int(space["block_size"]))[matching(space, points)]


def assert_close(ours, theirs, mass):
    """Relative distance in the norm of a mass matrix."""
    e = ours - theirs
    assert np.sqrt(e @ mass @ e) <= TOLERANCE * np.sqrt(ours @ mass @ ours)


@skfem.BilinearForm
def mass(u, v, w):
    return dot(u, v) if u.ndim > 2 else u * v


def test_darcy_on_a_moving_mesh_with_data_that_depend_on_place(data):
    hole = {"x": {"low": 0.45, "high": 0.55}, "radius": {"low": 0.15, "high": 0.2}}
    problem = {"family": "darcy", "coefficient": "1 + y", "boundary": "x*y", "source": "x"}
    space = {"output_space": {"family": "P", "degree": 2}}
    domain = {"domain": "perforated_plate", "size": 0.15, "morph": hole}
    dataset = data(problem | space, domain)
    reference = mesh_of(dataset)
    fixed_basis = Basis(reference, skfem.ElementTriP2())
    for sample in dataset:
        moved = stored_nodes(dataset, "displacement", sample["displacement"], reference.p).T
        mesh = MeshTri(reference.p + moved, reference.t)
        basis = Basis(mesh, skfem.ElementTriP2(), intorder=4)
        K = skfem.BilinearForm(lambda u, v, w: (1 + w.x[1]) * dot(grad(u), grad(v)))
        f = skfem.LinearForm(lambda v, w: w.x[0] * v).assemble(basis)
        x, y = basis.doflocs
        u = skfem.solve(*skfem.condense(K.assemble(basis), f, x=x * y, D=basis.get_dofs().all()))
        ours = stored_nodes(dataset, "u", sample["u"], fixed_basis.doflocs)[:, 0]
        assert_close(ours, u, mass.assemble(basis))


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("law", [LOG, PHASES], ids=["lognormal", "two-phase"])
def test_darcy(data, degree, law):
    space = {"family": "P", "degree": degree}
    problem = {"family": "darcy", "coefficient": law, "source": "1 + x", "boundary": "x*y"}
    sides = {"top": {"kind": "neumann", "flux": "x"}, "right": {"kind": "robin", "value": 2.0}}
    dataset = data(problem | {"output_space": space, "sides": sides}, SQUARE)
    mesh = mesh_of(dataset)
    element = {1: skfem.ElementTriP1(), 2: skfem.ElementTriP2()}[degree]
    basis = Basis(mesh, element, intorder=5)
    top, right = (
        FacetBasis(mesh, element, facets=facets_of(dataset, mesh, side), intorder=5)
        for side in ("top", "right")
    )
    rest = [facets_of(dataset, mesh, side) for side in ("left", "bottom")]
    fixed = basis.get_dofs(np.concatenate(rest)).all()
    f = skfem.LinearForm(lambda v, w: (1 + w.x[0]) * v).assemble(basis)
    f += skfem.LinearForm(lambda v, w: w.x[0] * v).assemble(top)
    f += skfem.LinearForm(lambda v, w: 2.0 * v).assemble(right)
    robin = skfem.BilinearForm(lambda u, v, w: u * v).assemble(right)
    x, y = basis.doflocs
    for sample in dataset:
        a = coefficient(dataset, "a", sample["a"], basis)
        K = skfem.BilinearForm(lambda u, v, w: w.a * dot(grad(u), grad(v))).assemble(basis, a=a)
        u = skfem.solve(*skfem.condense(K + robin, f, x=x * y, D=fixed))
        ours = stored_nodes(dataset, "u", sample["u"], basis.doflocs)[:, 0]
        assert_close(ours, u, mass.assemble(basis))


def test_elasticity(data):
    problem = {"family": "elasticity", "modulus": LOG, "ratio": 0.3, "force_y": -0.2}
    traction = {"traction_y": {"law": "uniform", "low": -1.0, "high": 1.0}, "traction_x": "y"}
    space = {"output_space": {"family": "P", "degree": 2}}
    dataset = data(problem | traction | space, SQUARE)
    mesh = mesh_of(dataset)
    element = ElementVector(skfem.ElementTriP2())
    basis = Basis(mesh, element, intorder=4)
    loaded = FacetBasis(mesh, element, facets=facets_of(dataset, mesh, "right"), intorder=4)
    fixed = basis.get_dofs(facets_of(dataset, mesh, "left")).all()
    lam, mu = 0.3 / (1.3 * 0.4), 1 / 2.6  # of Y = 1

    @skfem.BilinearForm
    def stiffness(u, v, w):
        e, d = sym_grad(u), sym_grad(v)
        return w.Y * (2 * mu * ddot(e, d) + lam * trace(e) * trace(d))

    for sample, pull in zip(dataset, dataset.column("parameters/t_y"), strict=True):
        Y = coefficient(dataset, "Y", sample["Y"], basis)
        f = skfem.LinearForm(lambda v, w: -0.2 * v[1]).assemble(basis)
        f += skfem.LinearForm(lambda v, w: w.x[1] * v[0] + w.pull * v[1]).assemble(
            loaded, pull=pull
        )
        K = stiffness.assemble(basis, Y=Y)
        u = skfem.solve(*skfem.condense(K, f, D=fixed))
        ours = stored_nodes(dataset, "u", sample["u"], basis.doflocs[:, ::2]).ravel()
        assert_close(ours, u, mass.assemble(basis))


@pytest.mark.parametrize("element", ["taylor_hood", "mini"])
@pytest.mark.parametrize(("domain", "span"), [(CYLINDER, (0.0, 0.41)), (STEP, (0.5, 1.0))])
def test_stokes(data, domain, span, element):
    problem = {"family": "stokes", "inflow": FIELD, "element": element, "span": list(span)}
    viscosity = {"viscosity": {"law": "uniform", "low": 0.1, "high": 1.0}, "force_x": "y"}
    dataset = data(problem | viscosity, domain)
    mesh = mesh_of(dataset)
    velocity = skfem.ElementTriP2() if element == "taylor_hood" else skfem.ElementTriMini()
    V = Basis(mesh, ElementVector(velocity), intorder=6)
    Q = V.with_element(skfem.ElementTriP1())
    inlet, outlet = (facets_of(dataset, mesh, side) for side in ("inlet", "outlet"))
    walls = np.setdiff1d(mesh.boundary_facets(), np.concatenate([inlet, outlet]))
    inside, still = V.get_dofs(inlet).all(), V.get_dofs(walls).all()
    A = skfem.BilinearForm(lambda u, v, w: ddot(grad(u), grad(v))).assemble(V)
    B = skfem.BilinearForm(lambda u, q, w: -div(u) * q).assemble(V, Q)
    f = np.concatenate([skfem.LinearForm(lambda v, w: w.x[1] * v[0]).assemble(V), np.zeros(Q.N)])
    # nodes that both elements have: vertices, and P2's midpoints of edges
    shared = np.concatenate([V.nodal_dofs.T.ravel(), V.facet_dofs.T.ravel()])
    for sample, mu in zip(dataset, dataset.column("parameters/mu"), strict=True):
        lift = np.zeros(V.N + Q.N)
        U = at_vertices(dataset, "U", sample["U"], mesh)
        lift[inside] = _inflow(V, mesh, U, span)[inside]
        lift[still] = 0.0
        K = skfem.bmat([[mu * A, B.T], [B, None]], "csr")
        w = skfem.solve(*skfem.condense(K, f, x=lift, D=np.union1d(inside, still)))
        u, p = w[: V.N], w[V.N :]
        ours = stored_nodes(dataset, "u", sample["u"], V.doflocs[:, shared[::2]]).ravel()
        picked = mass.assemble(V)[shared][:, shared]
        assert_close(ours, u[shared], picked)
        ours = stored_nodes(dataset, "p", sample["p"], Q.doflocs)[:, 0]
        assert_close(ours, p, mass.assemble(Q))


def _inflow(V, mesh, U, span):
    """4 U s (1 − s) in the first component of velocities, at vertices and midpoints of edges."""
    low, high = span
    values = np.zeros(V.N)
    for dofs, U_there in ((V.nodal_dofs, U), (V.facet_dofs, U[mesh.facets].mean(axis=0))):
        if len(dofs):
            s = (V.doflocs[1, dofs[0]] - low) / (high - low)
            values[dofs[0]] = 4 * U_there * s * (1 - s)
    return values


def test_mixed_darcy(data):
    problem = {"family": "darcy_mixed", "coefficient": PHASES, "source": FIELD}
    more = {"boundary": "x", "walls": ["top", "bottom"]}
    dataset = data(problem | more, SQUARE)
    mesh = mesh_of(dataset)
    V = Basis(mesh, skfem.ElementTriRT0(), intorder=4)
    Q = V.with_element(skfem.ElementTriP0())
    open_sides = np.concatenate([facets_of(dataset, mesh, s) for s in ("left", "right")])
    walls = np.concatenate([facets_of(dataset, mesh, s) for s in ("top", "bottom")])
    B = skfem.BilinearForm(lambda u, q, w: -div(u) * q).assemble(V, Q)
    side = FacetBasis(mesh, skfem.ElementTriRT0(), facets=open_sides, intorder=4)
    g = skfem.LinearForm(lambda v, w: -w.x[0] * dot(v, w.n)).assemble(side)
    centres = np.full((mesh.nelements, 2), 1 / 3)
    at_centres = Basis(mesh, V.elem, quadrature=(np.full((2, 1), 1 / 3), np.ones(1)))
    for sample in dataset:
        a, f = (coefficient(dataset, s, sample[s], V) for s in ("a", "f"))
        M = skfem.BilinearForm(lambda u, v, w: dot(u, v) / w.a).assemble(V, a=a)
        load = skfem.LinearForm(lambda q, w: -w.f * q).assemble(Q, f=f)
        K = skfem.bmat([[M, B.T], [B, None]], "csr")
        b = np.concatenate([g, load])
        w = skfem.solve(*skfem.condense(K, b, D=V.get_dofs(walls).all()))
        areas = mass.assemble(Q)
        p = by_cell(dataset, "p", sample["p"])
        assert_close(p, w[V.N :][Q.element_dofs[0]], areas)
        space = dataset.spaces[dataset.fields["sigma"].space]
        sigma = StoredFunction(dataset.mesh, space, sample["sigma"])
        ours = sigma.evaluate(np.arange(mesh.nelements), centres).T
        theirs = np.asarray(at_centres.interpolate(w[: V.N]))[:, :, 0]
        for one, other in zip(ours, theirs, strict=True):
            assert np.linalg.norm(one - other) <= TOLERANCE * np.linalg.norm(ours)


def test_mixed_darcy_conserves_mass_in_each_cell(data):
    problem = {"family": "darcy_mixed", "coefficient": LOG, "source": FIELD, "boundary": "x*y"}
    dataset = data(problem, SQUARE)
    mesh = mesh_of(dataset)
    tables = SimpleNamespace(**{f: dataset.fields[f].space for f in ("sigma", "p", "f")})
    D = _derivative(dataset, tables.sigma, tables.p)
    P1 = Basis(mesh, skfem.ElementTriP1(), intorder=2)
    P0 = P1.with_element(skfem.ElementTriP0())
    areas = mass.assemble(P0).diagonal()
    for sample in dataset:
        f = coefficient(dataset, "f", sample["f"], P1)
        sources = skfem.LinearForm(lambda q, w: w.f * q).assemble(P0, f=f)
        outflow = by_cell(dataset, "p", D @ sample["sigma"]) * areas
        assert np.abs(outflow - sources).max() <= 1e-10 * np.abs(sources).max()


def _derivative(dataset, source, target):
    """The stored matrix ∇· between two spaces."""
    from storage.spaces import read_spaces

    return read_spaces(dataset.path / "spaces.h5")["derivatives"][f"{source}-{target}"]["matrix"]
