"""Meshes and P1 tables for tests of random inputs."""

# The order of the first imports matters, as in `meshes`.
# isort: off
import h5py  # noqa: F401
import dolfinx_solver  # noqa: F401
from dolfinx import fem, mesh

# isort: on
import numpy as np
import ufl
from mpi4py import MPI

from pipeline.inputs import P1Tables, Where

SELF = MPI.COMM_SELF


def place(msh, points=None):
    """The P1 dofs of a mesh, or other points for laws that need no P1 space."""
    V = fem.functionspace(msh, ("P", 1))
    u, v = ufl.TrialFunction(V), ufl.TestFunction(V)
    forms = [u * v * ufl.dx, ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx]
    tables = [fem.assemble_matrix(fem.form(a)).to_scipy().tocsr() for a in forms]
    x = V.tabulate_dof_coordinates()[:, : msh.geometry.dim].copy()
    low, high = x.min(axis=0), x.max(axis=0)
    if points is not None:
        return Where(points, low, high)
    return Where(x, low, high, lambda: P1Tables(*tables, None))


def interval(n=32):
    return place(mesh.create_unit_interval(SELF, n))


def square(n=16):
    return place(mesh.create_unit_square(SELF, n, n))


def cube(n=8):
    return place(mesh.create_unit_cube(SELF, n, n, n))


def disk(n=32):
    """The unit disk: a square's mesh, pulled round."""
    msh = mesh.create_rectangle(SELF, [[-1.0, -1.0], [1.0, 1.0]], [n, n])
    x, y = msh.geometry.x[:, 0].copy(), msh.geometry.x[:, 1].copy()
    msh.geometry.x[:, 0] = x * np.sqrt(1 - y**2 / 2)
    msh.geometry.x[:, 1] = y * np.sqrt(1 - x**2 / 2)
    return place(msh)


def samples(sampler, count, seed=1):
    """The values of samples 0 … count − 1."""
    from pipeline.inputs import DesignSpec, design

    at = design(DesignSpec(), seed, sampler.uniforms)
    return np.array(
        [sampler.evaluate(sampler.draw(rng_of(seed, i), at(i), i)) for i in range(count)]
    )


def rng_of(seed, i):
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(i,))))


def nearest(where, point):
    """Number of the dof nearest to a point."""
    return int(np.argmin(np.linalg.norm(where.points - np.asarray(point), axis=1)))
