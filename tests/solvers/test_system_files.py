"""Files of systems: what SciPy, NumPy and PETSc wrote is read; what is damaged is named."""

import gzip
import io
import pickle
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI
from petsc4py import PETSc
from solver_problems import diffusion, to_petsc, vector

from solvers import Strategy, solve_stream
from solvers.array_files import shape_of
from solvers.file_checks import SystemFileError
from solvers.sketch import sketch
from solvers.system_files import SystemFile, find_systems, read_matrix, read_right
from solvers.system_reader import read_systems

N = 25
A = diffusion(5, contrast=1.0)
b = np.random.default_rng(0).standard_normal(N)


def saved(write, *arguments, **options):
    """The bytes that a function writes into a file."""
    buffer = io.BytesIO()
    write(buffer, *arguments, **options)
    return buffer.getvalue()


def petsc(*objects):
    """A PETSc binary file of sparse matrices and vectors, written by PETSc."""
    with tempfile.NamedTemporaryFile() as file:
        viewer = PETSc.Viewer().createBinary(file.name, "w", comm=PETSc.COMM_SELF)
        for each in objects:
            if each.ndim == 1:
                viewer(vector(to_petsc(sp.eye_array(len(each))), each))
            else:
                viewer(to_petsc(each))
        viewer.destroy()
        Path(file.name + ".info").unlink(missing_ok=True)
        return Path(file.name).read_bytes()


def npz(matrix, kind="csr"):
    return saved(sp.save_npz, sp.coo_array(matrix).asformat(kind))


def mtx(array):
    return saved(scipy.io.mmwrite, array)


MATRICES = {
    **{f"{k}.npz": lambda m, k=k: npz(m, k) for k in ("csr", "csc", "coo", "bsr", "dia")},
    "f4.npz": lambda m: npz(m.astype(np.float32)),
    "mtx": mtx,
    "mtx.gz": lambda m: gzip.compress(mtx(m)),
    "petsc": petsc,
    "npy": lambda m: saved(np.save, m.toarray()),
}
RIGHTS = {
    "npy": lambda v: saved(np.save, v),
    "mtx": lambda v: mtx(v.reshape(len(v), -1)),
    "mtx.gz": lambda v: gzip.compress(mtx(v.reshape(len(v), -1))),
    "petsc": lambda v: petsc(*v.reshape(len(v), -1).T),
    "npz": lambda v: npz(v.reshape(len(v), -1)),
}


def matrix_of(path):
    return read_matrix(SystemFile("m", Path(path), None))[0]


def right_of(path, n=N):
    return read_right(SystemFile("m", None, Path(path)), n, [])


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(sorted(MATRICES)))
def test_every_format_gives_the_matrix_back(data, kind):
    n = data.draw(st.integers(1, 7))
    values = st.floats(-1e6, 1e6, width=32).map(float)
    dense = np.array(data.draw(st.lists(values, min_size=n * n, max_size=n * n))).reshape(n, n)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"m.{kind}"
        path.write_bytes(MATRICES[kind](sp.csr_array(dense)))
        found = matrix_of(path)
        assert shape_of(path) == (n, n)
    assert np.array_equal(found.toarray(), dense)
    assert found.indices.dtype == found.indptr.dtype == np.int32 and found.has_canonical_format
    assert np.array_equal(to_petsc(found)[:, :], dense)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.integers(1, 3), st.sampled_from(sorted(RIGHTS)), st.data())
def test_every_format_gives_the_right_hand_side_back(n, k, kind, data):
    values = np.array(
        data.draw(st.lists(st.floats(-1e9, 1e9), min_size=n * k, max_size=n * k))
    ).reshape(n, k)
    values = values[:, 0] if k == 1 else values
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"b.{kind}"
        path.write_bytes(RIGHTS[kind](values))
        found = right_of(path, n)
    assert found.shape == values.shape and found.flags.c_contiguous
    assert np.allclose(found, values, rtol=1e-15, atol=0)


def test_a_column_of_npy_keeps_its_shape(tmp_path):
    np.save(tmp_path / "b.npy", b[:, None])
    assert right_of(tmp_path / "b.npy").shape == (N, 1)
    np.save(tmp_path / "f.npy", np.asfortranarray(np.arange(2 * N).reshape(N, 2)))
    assert np.array_equal(right_of(tmp_path / "f.npy")[:, 1], np.arange(1, 2 * N, 2))


def test_symmetric_and_repeated_entries_of_matrix_market(tmp_path):
    path = tmp_path / "m.mtx"
    path.write_bytes(text("2 2 2", "1 1 3\n2 1 -1\n", "coordinate real symmetric"))
    assert np.array_equal(matrix_of(path).toarray(), [[3, -1], [-1, 0]])
    path.write_bytes(text("2 2 1", "2 1 -1\n", "coordinate real skew-symmetric"))
    assert np.array_equal(matrix_of(path).toarray(), [[0, 1], [-1, 0]])
    path.write_bytes(text("1 1 2", "1 1 3\n1 1 4\n", "coordinate integer general"))
    assert matrix_of(path)[0, 0] == 7


def test_repeated_and_unsorted_entries_of_a_csr_file_are_put_in_order(tmp_path):
    members = {"data": [1.0, 2.0, 3.0], "indices": [1, 0, 0], "indptr": [0, 3, 3]}
    (tmp_path / "m.npz").write_bytes(npz_with(shape=(2, 2), **members))
    found = matrix_of(tmp_path / "m.npz")
    assert found.indices.tolist() == [0, 1] and found.data.tolist() == [5.0, 1.0]


@pytest.mark.parametrize("sign", [1, -1])
def test_dense_matrix_market_arrays_are_completed_by_symmetry(tmp_path, sign):
    dense = np.random.default_rng(0).standard_normal((4, 4))
    dense = dense + sign * dense.T
    for symmetry in (None, "general"):
        (tmp_path / "m.mtx").write_bytes(saved(scipy.io.mmwrite, dense, symmetry=symmetry))
        assert np.allclose(matrix_of(tmp_path / "m.mtx").toarray(), dense, rtol=1e-15)


# What is damaged


def npz_with(**members):
    parts = {"format": b"csr", "shape": (N, N), "data": A.data, "indices": A.indices}
    return saved(np.savez, **(parts | {"indptr": A.indptr} | members))


def text(size, entries, kind="coordinate real general"):
    return f"%%MatrixMarket matrix {kind}\n{size}\n{entries}".encode()


class Trap:
    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def traps(*shape):
    return np.full(shape, Trap(), dtype=object)


def raw(*numbers, values=b""):
    return struct.pack(f">{len(numbers)}i", *numbers) + values


def npy_header(*shape):
    about = {"descr": "<f8", "fortran_order": False, "shape": shape}
    return saved(np.lib.format.write_array_header_1_0, about)


MAT = 1211216
BAD_MATRICES = {
    "empty": (b"", "it is empty; expected a NumPy"),
    "text": (b"1 2 3\n", "begins with b'1 2 3"),
    "wide": (mtx(A[:, :7]), "25 × 7; expected a square matrix"),
    "tall petsc": (raw(MAT, 2, 1, 0, 0, 0), "2 × 1; expected a square matrix"),
    "vector": (petsc(b), "A is 25; expected a square matrix"),
    "no rows": (text("0 0 0", ""), "no row"),
    "nan": (
        npz_with(data=np.where(np.arange(A.nnz) == 7, np.nan, A.data)),
        "1 entries of A are NaN or Inf, the first in row 2, column 1 (from 0)",
    ),
    "complex npz": (npz(A * 1j), "complex values"),
    "complex mtx": (mtx(A * 1j), "complex values"),
    "complex npy": (saved(np.save, A.toarray() * 1j), "complex values"),
    "pattern": (text("2 2 1", "1 1\n", "coordinate pattern general"), "a pattern without"),
    "savez": (saved(np.savez, a=b, c=b), "holds a, c, no SciPy sparse matrix"),
    "pickled npz": (npz_with(data=traps(A.nnz)), "allow_pickle=False"),
    "pickled npy": (saved(np.save, traps(N, N)), "a pickle"),
    "pickle": (pickle.dumps(A), "begins with"),
    "letters": (saved(np.save, np.full((N, N), "x")), "expected real numbers"),
    "index too large": (npz_with(indices=A.indices + N), "damaged"),
    "negative index": (npz_with(indices=A.indices - 9), "damaged"),
    "wild indptr": (npz_with(indptr=A.indptr[::-1].copy()), "damaged"),
    "huge npz": (npz_with(shape=(10**15, 10**15)), "at most 2147483647"),
    "negative npz": (npz_with(shape=(-5, 5)), "at most 2147483647"),
    "huge npy": (npy_header(10**12, 10**12), "truncated or damaged"),
    "overflowing npy": (npy_header(2**62, 4), "truncated or damaged"),
    "huge mtx": (text(f"{10**12} {10**12} 1", "1 1 1\n"), "at most 2147483647"),
    "many entries": (text("9 9 200000000000", "1 1 1\n"), "at most 2147483647"),
    "overflowing mtx": (text(f"{10**30} 2 1", "1 1 1\n"), "at most 2147483647"),
    "short mtx": (text("2 2 3", "1 1 1\n2 2 1\n"), "6 numbers for 3 entries, expected 9"),
    "outside": (text("2 2 1", "3 1 1\n"), "out of bounds"),
    "word": (text("2 2 1", "1 1 one\n"), "damaged"),
    "text behind": (text("1 1 1", "1 1 1\nmore"), "damaged"),
    "short gz": (gzip.compress(mtx(A))[:-9], "ended before"),
    "altered gz": (gzip.compress(mtx(A))[:-8] + bytes(8), "CRC"),
    "gz of else": (gzip.compress(b"hello"), "first line is 'hello'"),
    "huge petsc": (raw(MAT, 2**31 - 1, 9, 9), "truncated"),
    "negative petsc": (raw(MAT, -4, -4, 0), "truncated"),
    "dense petsc": (raw(MAT, 2, 2, -1), "dense"),
    "row lengths": (raw(MAT, 2, 2, 1, 1, 1, 0, values=bytes(8)), "row lengths"),
    "column": (raw(MAT, 1, 1, 1, 1, 7, values=bytes(8)), "damaged"),
    "64 bits": (struct.pack(">4q", MAT, 1, 1, 0), "64-bit indices"),
    "complex petsc": (
        raw(MAT, 1, 1, 1, 1, 0, values=struct.pack(">dd", 1, 2)),
        "complex or single-precision",
    ),
}


@pytest.mark.parametrize("kind", BAD_MATRICES)
def test_a_bad_matrix_is_one_line_that_names_its_file(tmp_path, kind):
    content, why = BAD_MATRICES[kind]
    path = tmp_path / "bad.A.npz"
    path.write_bytes(content)
    assert_refused(path, why)


def assert_refused(path, why):
    with pytest.raises(SystemFileError) as caught:
        matrix_of(path)
    assert str(caught.value).startswith(f"{path}: ") and why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_named(tmp_path):
    assert_refused(tmp_path / "none.A.npz", "No such file")
    (tmp_path / "x.A.npz").mkdir()
    assert_refused(tmp_path / "x.A.npz", "directory")


BAD_RIGHTS = {
    "short": (b[:-1], "(24,); expected (25,) or (25, k)"),
    "row": (b[None], "(1, 25); expected"),
    "cube": (np.ones((N, 2, 2)), "expected (25,)"),
    "no column": (np.ones((N, 0)), "no column"),
    "inf": (np.where(b == b[4], np.inf, b), "NaN or Inf, first in row 4"),
    "complex": (b * 1j, "complex"),
    "scalar": (np.array(1.0), "expected (25,)"),
    "records": (np.zeros(N, dtype=[("x", float)]), "expected real numbers"),
}


@pytest.mark.parametrize("kind", BAD_RIGHTS)
def test_a_bad_right_hand_side_is_one_line_that_names_its_file(tmp_path, kind):
    values, why = BAD_RIGHTS[kind]
    np.save(tmp_path / "x.b.npy", values)
    with pytest.raises(SystemFileError) as caught:
        right_of(tmp_path / "x.b.npy")
    assert str(tmp_path / "x.b.npy") in str(caught.value) and why in str(caught.value)


SOUND = {kind: write(A) for kind, write in MATRICES.items()}


@settings(deadline=None, max_examples=300)
@given(st.data(), st.sampled_from(sorted(SOUND)))
def test_no_damage_does_worse_than_an_error(data, kind):
    """Cut, or with any bytes changed: read, or refused in one line that names the file."""
    content = bytearray(SOUND[kind])
    size = len(content)
    head = data.draw(st.booleans())  # most of what can go wrong is in the header
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, min(size, 200) - 1 if head else size - 1))
        content[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, size)) if data.draw(st.booleans()) else size
    with tempfile.NamedTemporaryFile() as file:
        file.write(content[:cut])
        file.flush()
        for read in (matrix_of, lambda path: shape_of(Path(path))):
            try:
                read(file.name)
            except SystemFileError as error:
                assert str(error).startswith(f"{file.name}: ")


@pytest.mark.parametrize("kind", sorted(set(SOUND) - {"mtx"}))
def test_every_truncation_is_noticed(tmp_path, kind):
    path = tmp_path / "cut"
    for cut in range(0, len(SOUND[kind]), 37):
        path.write_bytes(SOUND[kind][:cut])
        with pytest.raises(SystemFileError):
            matrix_of(path)


# What there is in a folder


def put(folder, *names):
    """Sound files: NAME.A.npz, NAME.b.mtx.gz, … by their suffixes; others are empty."""
    for name in names:
        (folder / name).write_bytes(content_for(name))


def content_for(name):
    for role, writers, value in ((".A.", MATRICES, A), (".b.", RIGHTS, b)):
        suffix = f".{name}".rpartition(role)[2]
        if suffix in ("npz", *writers):
            return writers["csr.npz" if role == ".A." and suffix == "npz" else suffix](value)
    return b""


def listed(folder):
    return [
        (f.name, f.matrix and f.matrix.name, f.right and f.right.name)
        for f in find_systems(folder).files
    ]


def test_names_pair_matrices_and_right_hand_sides(tmp_path):
    put(tmp_path, "s2.A.npz", "s2.b.npy", "s1.A.mtx", "s1.b.mtx.gz", "a.b.A.npz", "a.b.b.npy")
    (tmp_path / "s3.petsc").write_bytes(petsc(A, b))
    (tmp_path / "README.txt").touch()
    (tmp_path / ".s9.A.npz").touch()
    (tmp_path / "solutions").mkdir()
    assert listed(tmp_path) == [
        ("a.b", "a.b.A.npz", "a.b.b.npy"),
        ("s1", "s1.A.mtx", "s1.b.mtx.gz"),
        ("s2", "s2.A.npz", "s2.b.npy"),
        ("s3", "s3.petsc", None),
    ]


def test_shared_matrix_and_shared_right_hand_side(tmp_path):
    put(tmp_path, "A.npz", "x.b.npy", "y.b.npy", "z.A.npz", "z.b.npy")
    assert [f[1] for f in listed(tmp_path)] == ["A.npz", "A.npz", "z.A.npz"]
    put(tmp_path, "b.npy", "w.A.npz")
    assert listed(tmp_path)[0] == ("w", "w.A.npz", "b.npy")


def test_one_matrix_and_one_right_hand_side_are_a_system(tmp_path):
    put(tmp_path, "A.mtx", "b.npy")
    assert listed(tmp_path) == [("system", "A.mtx", "b.npy")]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["x.A.npz"], "x.A.npz: no right-hand side for 'x'; expected x.b.npy"),
        (["x.b.npy"], "x.b.npy: no matrix for 'x'; expected x.A.npz"),
        (["x.A.npz", "x.A.mtx", "x.b.npy"], "x.A.mtx and x.A.npz both give the matrix of 'x'"),
        (["x.A.npz", "x.b.npy", "x.b.mtx"], "both give the right-hand side"),
        (["x.A.txt", "x.b.npy"], "x.A.txt: unknown kind of file; expected one of .npz"),
    ],
)
def test_a_system_that_is_not_whole_says_so_and_the_rest_goes_on(tmp_path, names, why):
    put(tmp_path, "fine.A.npz", "fine.b.npy", *names)
    failed = {}
    found = list(read_systems(tmp_path, lambda file, error: failed.update({file.name: str(error)})))
    assert len(found) == 1 and list(failed) == ["x"]
    assert failed["x"].startswith(str(tmp_path)) and why in failed["x"]
    with pytest.raises(SystemFileError):
        list(read_systems(tmp_path))


def test_a_petsc_file_without_a_vector_has_no_right_hand_side(tmp_path):
    (tmp_path / "x.petsc").write_bytes(petsc(A))
    with pytest.raises(SystemFileError, match=r"x.petsc: no right-hand side .*Vec behind the Mat"):
        list(read_systems(tmp_path))


@pytest.mark.parametrize("there", [[], ["notes.txt", "mesh.npz"], ["b.npy"]])
def test_a_folder_without_systems_is_refused(tmp_path, there):
    for name in there:
        (tmp_path / name).touch()
    with pytest.raises(SystemFileError, match=rf"{tmp_path}: no system found, only .*NAME.A.npz"):
        find_systems(tmp_path)
    with pytest.raises(SystemFileError, match=r"none: cannot be listed"):
        find_systems(tmp_path / "none")


# index.csv and features.npy


def test_an_index_names_files_and_gives_features(tmp_path):
    put(tmp_path, "A.npz", "k.b.npy")
    (tmp_path / "other.mtx").write_bytes(mtx(A))
    (tmp_path / "index.csv").write_text("name,A,b,t\nk,,,2.5\nq,other.mtx,k.b.npy,-1\n")
    found = find_systems(tmp_path)
    assert listed(tmp_path) == [("k", "A.npz", "k.b.npy"), ("q", "other.mtx", "k.b.npy")]
    assert np.array_equal(found.features, [[2.5], [-1.0]])
    assert [s.id for s in read_systems(tmp_path)] == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A,b\nx,y\n", "columns A, b; expected 'name'"),
        ("", "columns none; expected 'name'"),
        ("name,name\nx,x\n", "each once"),
        ("name,t\nx,hot\n", "line 2: t: 'hot'; expected a finite number"),
        ("name,t\nx,nan\n", "expected a finite number"),
        ("name,t\nx\n", "line 2: another number of cells"),
        ("name\nx,2\n", "line 2: another number of cells"),
        ("name\n", "no system found"),
        ('name\n"x\n', "cannot be read"),
    ],
)
def test_an_index_that_cannot_be_used_is_refused(tmp_path, text, message):
    (tmp_path / "index.csv").write_text(text)
    with pytest.raises(SystemFileError) as caught:
        find_systems(tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["x", "../x", "", ".x", "a/b", "n" * 300])
def test_names_that_cannot_be_files_or_stand_twice_fail_alone(tmp_path, name):
    put(tmp_path, "A.npz", "x.b.npy")
    (tmp_path / "index.csv").write_text(f"name,b\nx,\n{name},x.b.npy\n")
    good, bad = find_systems(tmp_path).files
    assert good.problem == "" and "index.csv line 3: name" in bad.problem


def test_features_are_rows_by_name(tmp_path):
    put(tmp_path, "A.npz", "x.b.npy", "y.b.npy")
    np.save(tmp_path / "features.npy", [3, 1])
    assert np.array_equal(find_systems(tmp_path).features, [[3.0], [1.0]])
    for bad, text in (
        (np.ones(3), "expected (2, d)"),
        (np.array([1, np.inf]), "row 1 holds NaN"),
        (np.float64(1), "expected (2, d)"),
    ):
        np.save(tmp_path / "features.npy", bad)
        with pytest.raises(SystemFileError) as caught:
            find_systems(tmp_path)
        assert text in str(caught.value)
    (tmp_path / "index.csv").write_text("name,t\nx,1\ny,2\n")
    with pytest.raises(SystemFileError, match="keep one of the two"):
        find_systems(tmp_path)


# As systems for the stream


def test_systems_of_all_formats_are_solved_in_a_stream(tmp_path):
    rng = np.random.default_rng(1)
    matrices = [diffusion(5, seed=i) for i in range(3)]
    rights = [rng.standard_normal(N), rng.standard_normal((N, 3)), rng.standard_normal(N)]
    sp.save_npz(tmp_path / "s0.A.npz", matrices[0])
    np.save(tmp_path / "s0.b.npy", rights[0])
    scipy.io.mmwrite(tmp_path / "s1.A.mtx", matrices[1])
    scipy.io.mmwrite(tmp_path / "s1.b.mtx", rights[1])
    (tmp_path / "s2.petsc").write_bytes(petsc(matrices[2], rights[2]))
    stream = solve_stream(read_systems(tmp_path), Strategy(), rtol=1e-10, comm=MPI.COMM_SELF)
    solutions = list(stream)
    assert [s.id for s in solutions] == [0, 1, 1, 1, 2]
    columns = [c for right in rights for c in right.reshape(N, -1).T]
    for s, right in zip(solutions, columns, strict=True):
        assert s.converged
        assert np.linalg.norm(matrices[s.id] @ s.x - right) <= 1e-10 * np.linalg.norm(right)


def test_a_shared_matrix_is_one_mat_and_is_destroyed_at_the_end(tmp_path):
    put(tmp_path, "A.npz", "x.b.npy", "y.b.npy", "z.A.npz", "z.b.npy")
    seen = []
    for system in read_systems(tmp_path):
        assert system.A.handle and system.b.handle
        seen.append(system.A)
    assert seen[0] is seen[1] and seen[1] is not seen[2]
    assert not any(A.handle for A in seen)


# The sketch


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_sketches_are_apart_as_the_matrices_are(seed):
    """Of different patterns too. The deviation is 1/16 of the square: 6 of them are allowed."""
    one, two = diffusion(12, seed=seed), diffusion(12, seed=seed + 1)
    two = two + sp.random_array((144, 144), density=0.02, rng=seed)
    true = sp.linalg.norm(one - two)
    found = np.linalg.norm(sketch(sp.csr_array(one)) - sketch(sp.csr_array(two)))
    assert abs(found**2 / true**2 - 1) < 6 * np.sqrt(2 / 128)


def test_a_sketch_is_unbiased_linear_and_the_same_everywhere():
    ratios = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        values = np.zeros(5000)
        values[rng.choice(5000, 50)] = rng.random(50)  # of one sign: the map's have to cancel
        ratios.append(np.sum(sketch(values, 64) ** 2) / np.sum(values**2))
    assert abs(np.mean(ratios) - 1) < 0.04
    dense = A.toarray()
    assert np.allclose(sketch(sp.csr_array(A)), sketch(dense)), "places, not the storage, count"
    assert np.allclose(sketch(2 * dense + 1), 2 * sketch(dense) + sketch(np.ones_like(dense)))
    assert np.allclose(sketch(2.0 ** np.arange(6), 4), [0, -6, -44, 1])
    assert np.isfinite(sketch(np.full(1000, 1e308))).all()
