"""The matrices of `benchmarks.skr` against their definitions, entry by entry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.skr_stencils import STD, divergence_form, random_field, released


def field(m, seed=0):
    return np.exp(0.3 * np.random.default_rng(seed).standard_normal((m + 2, m + 2)))


def noise(s, seed=0):
    parts = np.random.default_rng(seed).standard_normal((2, s, s)) / np.sqrt(2.0)
    return parts[0] + 1j * parts[1]


def released_by_rows(a, shift):
    """The definition: row i has 4 a_i and −a of each neighbour; the northern index is off by 2."""
    m = len(a) - 2
    A = np.zeros((m * m, m * m))
    north = a[:-2, 1:-1].ravel()
    for i in range(m):
        for j in range(m):
            row = i * m + j
            A[row, row] = 4 * a[i + 1, j + 1] - shift
            if j > 0:
                A[row, row - 1] = -a[i + 1, j]
            if j < m - 1:
                A[row, row + 1] = -a[i + 1, j + 2]
            if i > 0:
                A[row, row - m] = -north[row - 2]
            if i < m - 1:
                A[row, row + m] = -a[i + 2, j + 1]
    return A


def divergence_by_faces(a):
    """Σ over the faces of a node of the harmonic mean × the difference."""
    m = len(a) - 2
    A = np.zeros((m * m, m * m))
    for i in range(m):
        for j in range(m):
            row = i * m + j
            for di, dj in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                here, there = a[i + 1, j + 1], a[i + 1 + di, j + 1 + dj]
                face = 2 / (1 / here + 1 / there)
                A[row, row] += face
                if 0 <= i + di < m and 0 <= j + dj < m:
                    A[row, (i + di) * m + j + dj] -= face
    return A


@settings(max_examples=20, deadline=None)
@given(m=st.integers(3, 9), seed=st.integers(0, 1000), shift=st.floats(0.0, 0.1))
def test_released_rows_are_those_of_the_released_code(m, seed, shift):
    a = field(m, seed)
    np.testing.assert_allclose(released(a, shift).toarray(), released_by_rows(a, shift), rtol=1e-15)


def test_the_released_matrix_is_neither_symmetric_nor_definite():
    a = np.exp(random_field(noise(22)))
    A = released(a).toarray()
    assert np.abs(A - A.T).max() > 1e-3
    values = np.linalg.eigvals(A).real
    assert values.min() < 0 < values.max()


@settings(max_examples=20, deadline=None)
@given(m=st.integers(3, 9), seed=st.integers(0, 1000))
def test_the_true_operator_has_harmonic_means_on_its_faces(m, seed):
    a = field(m, seed)
    A = divergence_form(a).toarray()
    np.testing.assert_allclose(A, divergence_by_faces(a), rtol=1e-13, atol=1e-14)
    assert np.array_equal(A, A.T)
    assert np.linalg.eigvalsh(A).min() > 0


def test_the_true_operator_converges_with_second_order():
    """u = sin πx sin πy, a = 1 + x y / 2, f = −∇·(a∇u) by hand."""
    errors = []
    for m in (15, 31, 63):
        x = np.arange(m + 2) / (m + 1)
        X, Y = np.meshgrid(x, x, indexing="ij")
        a, pi = 1 + 0.5 * X * Y, np.pi
        u = np.sin(pi * X) * np.sin(pi * Y)
        u_x, u_y = (pi * np.cos(pi * p) * np.sin(pi * q) for p, q in ((X, Y), (Y, X)))
        f = 2 * pi**2 * a * u - 0.5 * (Y * u_x + X * u_y)
        inner = (slice(1, -1), slice(1, -1))
        from scipy.sparse.linalg import spsolve

        found = spsolve(divergence_form(a).tocsc(), f[inner].ravel() / (m + 1) ** 2)
        errors.append(np.abs(found - u[inner].ravel()).max())
    rates = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all((rates > 1.9) & (rates < 2.1)), (errors, rates)


@pytest.mark.parametrize("s", [52, 102])
def test_the_field_has_the_law_of_the_paper(s):
    """Covariance eigenvalues τ^(2α−2) (4π²|k|² + τ²)^−α; each of the Fourier modes has them."""
    fields = np.array([random_field(noise(s, seed)) for seed in range(100)])
    assert np.abs(fields.mean(axis=(1, 2))).max() < 1e-12  # no mean
    k = np.fft.fftfreq(s, 1.0 / s)
    expected = 7.0**3 * (4 * np.pi**2 * (k[:, None] ** 2 + k[None, :] ** 2) + 49) ** -2.5
    expected[0, 0] = 0.0
    assert np.sqrt(expected.sum()) == pytest.approx(STD, rel=0.01)
    power = (np.abs(np.fft.fft2(fields) / s**2) ** 2).mean(axis=0)
    # Over bands of wave numbers, so that the sampling error is some percent.
    radius = np.hypot(k[:, None], k[None, :])
    for low, high in ((0.5, 3), (3, 8), (8, s / 2)):
        band = (radius >= low) & (radius < high)
        assert power[band].sum() == pytest.approx(expected[band].sum(), rel=0.15)
    assert 0.4 < np.exp(fields).min() < 0.7 and 1.5 < np.exp(fields).max() < 2.5
