"""Small matrices and sequences for the tests of `solvers`, and reference methods in NumPy."""

import numpy as np
import scipy.sparse as sp
from mpi4py import MPI
from petsc4py import PETSc


def diffusion(nx, seed=0, contrast=1.0, skew=0.1, shift=0.0):
    """Five-point −∇·(a∇u) with log-normal a; skew makes it non-symmetric, shift indefinite."""
    noise = np.random.default_rng(seed).standard_normal((nx + 2, nx + 2))
    a = np.exp(contrast * noise)
    rows, columns, values = [], [], []
    for i in range(nx):
        for j in range(nx):
            row, diagonal = i * nx + j, -shift
            for di, dj, sign in ((1, 0, 1), (-1, 0, -1), (0, 1, 1), (0, -1, -1)):
                # the mean of both cells: the same face value from either side
                face = 0.5 * (a[i + 1, j + 1] + a[i + 1 + di, j + 1 + dj])
                diagonal += face
                if 0 <= i + di < nx and 0 <= j + dj < nx:
                    rows.append(row)
                    columns.append((i + di) * nx + j + dj)
                    values.append(-face * (1 + sign * skew))
            rows.append(row)
            columns.append(row)
            values.append(diagonal)
    return sp.csr_matrix((values, (rows, columns)), shape=(nx * nx, nx * nx))


KINDS = [
    "general",
    "symmetric",
    "jumps",
    "near-singular",
    "singular",
    "skew",
    "banded",
    "scaled",
    "repeat",
]
"""What `random_matrix` makes; "repeat" stands for the matrix before, once more."""


def random_matrix(rng, n, kind):
    """A sparse indefinite matrix of one of several unpleasant kinds."""
    matrix = sp.random(n, n, density=0.2, rng=rng).toarray() - 0.1
    matrix += np.diag(rng.choice([-1.0, 1.0], n) * (1 + rng.random(n)) * 2)
    if kind == "symmetric":
        matrix = matrix + matrix.T
    elif kind == "jumps":
        matrix *= 10.0 ** rng.integers(-6, 7, (n, 1))
    elif kind == "near-singular":
        matrix[-1] = matrix[0] * (1 + 1e-9) + 1e-9 * matrix[-1]
    elif kind == "singular":
        matrix[-1] = matrix[0]
    elif kind == "skew":
        matrix = matrix - matrix.T + 0.1 * np.eye(n)
    elif kind == "banded":
        matrix = np.triu(np.tril(matrix, 1), -1)
    elif kind == "scaled":
        matrix *= 10.0 ** rng.integers(-9, 10)
    return sp.csr_matrix(matrix)


def definite_matrix(rng, n, kind):
    """A non-symmetric matrix with A + Aᵀ > 0 of condition 10, on which no GMRES(m) stagnates."""
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    K = rng.standard_normal((n, n)) / np.sqrt(n)
    if kind == "pairs":  # 2 × 2 rotations: all eigenvalues are complex
        K = np.kron(np.eye(n // 2 + 1), [[0.0, 10.0], [-10.0, 0.0]])[:n, :n]
    matrix = Q * rng.uniform(1.0, 10.0, n) @ Q.T + (K - K.T)
    if kind == "scaled":
        matrix *= 10.0 ** rng.integers(-9, 10)
    return sp.csr_matrix(matrix)


def to_petsc(matrix, comm=MPI.COMM_SELF):
    """A PETSc AIJ matrix with the same entries on a communicator."""
    matrix = sp.csr_matrix(matrix, dtype=float)
    n = matrix.shape[0]
    start = comm.rank * n // comm.size
    end = (comm.rank + 1) * n // comm.size
    local = matrix[start:end]
    A = PETSc.Mat().createAIJ(
        ((end - start, n), (end - start, n)),
        csr=(local.indptr.astype(np.int32), local.indices.astype(np.int32), local.data),
        comm=comm,
    )
    A.assemble()
    return A


def vector(A, values):
    """A right-hand side like the rows of A from global values."""
    b = A.createVecLeft()
    b.setArray(np.asarray(values, dtype=float)[slice(*A.getOwnershipRange())])
    return b


class Counted:
    """A shell matrix that counts its products."""

    def __init__(self, A):
        self.A, self.count = A, 0

    def mult(self, mat, x, y):
        self.count += 1
        self.A.mult(x, y)


def counted(A):
    context = Counted(A)
    shell = PETSc.Mat().createPython(A.getSizes(), context, comm=A.comm)
    shell.setUp()
    return shell, context


def ksp_gcrodr(A, context, pc="none", side="right", rtol=1e-8, max_it=5000):
    """A KSP of type python around a GCRODR."""
    ksp = PETSc.KSP().create(A.comm)
    ksp.setType("python")
    ksp.setPythonContext(context)
    configure(ksp, A, pc, side, rtol, max_it)
    return ksp


def configure(ksp, A, pc, side, rtol, max_it):
    ksp.setOperators(A)
    ksp.setPCSide(PETSc.PC.Side.RIGHT if side == "right" else PETSc.PC.Side.LEFT)
    ksp.getPC().setType(pc)
    ksp.setTolerances(rtol=rtol, atol=0.0, divtol=1e10, max_it=max_it)
    ksp.setConvergenceHistory()


def solve(ksp, b, guess=None):
    """Solve and return x as an array."""
    x = b.duplicate()
    if guess is not None:
        x.setArray(guess)
    ksp.setInitialGuessNonzero(guess is not None)
    ksp.setConvergenceHistory(reset=True)
    ksp.solve(b, x)
    return x.array.copy()


def gmres_dr(A, b, m, k, applications):
    """Residual norms of GMRES-DR(m, k), R. Morgan, SIAM J. Sci. Comput. 24 (2002) 20, dense.

    Written from the paper, with a new orthogonal factor for each residual norm. Complex pairs are
    kept whole (k + 1 vectors), by their real and imaginary parts.
    """
    n = len(b)
    norms, r = [np.linalg.norm(b)], b.copy()
    V, H, kept = np.zeros((n, m + 1)), np.zeros((m + 1, m)), 0
    V[:, 0] = r / norms[0]
    while len(norms) <= applications:
        c = V[:, : kept + 1].T @ r
        c = np.concatenate([c, np.zeros(m - kept)])
        for j in range(kept, m):
            w = A @ V[:, j]
            for _ in range(2):
                h = V[:, : j + 1].T @ w
                w -= V[:, : j + 1] @ h
                H[: j + 1, j] += h
            H[j + 1, j] = np.linalg.norm(w)
            V[:, j + 1] = w / H[j + 1, j]
            d = np.linalg.lstsq(H[: j + 2, : j + 1], c[: j + 2])[0]
            norms.append(np.linalg.norm(c[: j + 2] - H[: j + 2, : j + 1] @ d))
        s = c - H @ d
        r = V @ s
        square = H[:m].copy()
        square[:, -1] += H[m, m - 1] ** 2 * np.linalg.solve(H[:m].T, np.eye(m)[-1])
        values, vectors = np.linalg.eig(square)
        P = np.zeros((m, 0))
        for i in np.argsort(np.abs(values), kind="stable"):
            if P.shape[1] >= k:
                break
            if values[i].imag > 0:
                P = np.hstack([P, vectors[:, [i]].real, vectors[:, [i]].imag])
            elif values[i].imag == 0:
                P = np.hstack([P, vectors[:, [i]].real])
        P = np.linalg.qr(P)[0]
        kept = P.shape[1]
        full = np.linalg.qr(np.hstack([np.vstack([P, np.zeros((1, kept))]), s[:, None]]))[0]
        V[:, : kept + 1], H_new = V @ full, full.T @ H @ P
        V[:, kept + 1 :] = 0.0
        H[:] = 0.0
        H[: kept + 1, :kept] = H_new
    return np.array(norms[: applications + 1])
