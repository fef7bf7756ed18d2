"""The tree in `spaces.h5` and its hash."""

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from storage import DamagedFile, RevisionMismatch, read_spaces, tree_hash, write_spaces
from storage.spaces import SpaceTree

NAMES = st.text("abcé_1", min_size=1, max_size=4)
ARRAYS = hnp.arrays(
    st.sampled_from(["f8", "f4", "i4", "i8", "u4", "?"]),
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3),
)
SCALARS = st.one_of(
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False),
    st.booleans(),
    st.text("aé b", max_size=5),
)
TUPLES = st.one_of(
    st.lists(st.integers(-9, 9), max_size=3).map(tuple),
    st.lists(st.text("xyz", min_size=1, max_size=3), min_size=1, max_size=3).map(tuple),
)
CSR = st.integers(0, 2**32 - 1).map(
    lambda seed: sp.random(
        4, 5, density=0.4, format="csr", random_state=np.random.default_rng(seed)
    )
)
TREES = st.recursive(
    st.dictionaries(NAMES, st.one_of(ARRAYS, SCALARS, TUPLES, CSR), max_size=4),
    lambda inner: st.dictionaries(NAMES, st.one_of(inner, ARRAYS, SCALARS), max_size=3),
    max_leaves=6,
)


def shuffled(tree):
    return {k: shuffled(v) if isinstance(v, dict) else v for k, v in reversed(tree.items())}


@settings(max_examples=60, deadline=None)
@given(tree=TREES)
def test_written_and_read_hash_alike(tree, tmp_path_factory):
    path = tmp_path_factory.mktemp("s") / "spaces.h5"
    digest = write_spaces(path, tree)
    assert digest == tree_hash(tree) == tree_hash(shuffled(tree))
    back = read_spaces(path, verify=True)
    assert tree_hash(back) == digest
    assert write_spaces(path, back) == digest


def base():
    matrix = sp.csr_matrix(np.array([[0.0, 2.0], [1.0, 0.0]]))
    return {"mesh": {"points": np.zeros((3, 2)), "gdim": 2}, "m": matrix, "names": ("a", "b")}


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["mesh"].update(points=np.zeros((2, 3))),
        lambda t: t["mesh"].update(points=np.zeros((3, 2), "f4")),
        lambda t: t["mesh"]["points"].__setitem__((0, 0), -0.0),
        lambda t: t["mesh"].update(gdim=3),
        lambda t: t["mesh"].update(gdim="2"),
        lambda t: t["mesh"].update(nodes=t["mesh"].pop("points")),
        lambda t: t.update(points=t["mesh"].pop("points")),
        lambda t: t["m"].data.__setitem__(0, 3.0),
        lambda t: t.update(names=("b", "a")),
        lambda t: t.update(names=("ab",)),
    ],
)
def test_hash_sees_every_change(change):
    tree = base()
    change(tree)
    assert tree_hash(tree) != tree_hash(base())


def test_hash_ignores_encoding(tmp_path):
    unsorted = sp.csr_matrix((np.array([2.0, 1.0]), np.array([1, 0]), np.array([0, 1, 2])), (2, 2))
    unsorted.indices = unsorted.indices.astype(np.int64)
    twice = sp.csr_matrix((np.array([1.5, 0.5, 1.0]), np.array([1, 1, 0]), np.array([0, 2, 3])))
    for other in (unsorted, twice):
        assert tree_hash(base() | {"m": other}) == tree_hash(base())
    big = base()
    big["mesh"]["points"] = np.asfortranarray(big["mesh"]["points"].astype(">f8"))
    assert tree_hash(big) == tree_hash(base())


def test_second_writer_must_agree(tmp_path):
    path = tmp_path / "spaces.h5"
    write_spaces(path, base())
    with pytest.raises(RevisionMismatch, match="has hash .* the new spaces have"):
        write_spaces(path, base() | {"names": ("c",)})


def test_altered_and_truncated_files_are_named(tmp_path):
    path = tmp_path / "spaces.h5"
    write_spaces(path, base())
    with h5py.File(path, "r+") as file:
        file["mesh/points"][0, 0] = 1.0
    read_spaces(path)
    with pytest.raises(DamagedFile, match=r"spaces.h5: hash of its content"):
        read_spaces(path, verify=True)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(DamagedFile, match=r"spaces.h5: is damaged"):
        read_spaces(path)


@pytest.mark.parametrize("bad", [{"a/b": 1}, {"": 1}, {"a": object()}, {"a": None}, {"hash": "x"}])
def test_what_a_tree_cannot_hold(tmp_path, bad):
    with pytest.raises((TypeError, ValueError)):
        write_spaces(tmp_path / "spaces.h5", bad)
    assert not list(tmp_path.iterdir())


def test_lazy_tree_names_what_it_has(tmp_path):
    write_spaces(tmp_path / "s.h5", base())
    tree = SpaceTree(tmp_path / "s.h5")
    assert tree["mesh/gdim"] == 2 and tree["m"].nnz == 2 and tree["names"] == ("a", "b")
    with pytest.raises(KeyError, match="'nope' is not in"):
        tree["mesh/nope"]


@pytest.mark.parametrize(
    ("name", "place", "value"), [("indices", 3, 10**6), ("indices", 0, -1), ("indptr", 5, 10**6)]
)
def test_a_matrix_with_damaged_indices_is_named(tmp_path, name, place, value):
    """SciPy reads and writes out of bounds with them; the process would end."""
    path = tmp_path / "spaces.h5"
    write_spaces(path, synthetic.make_tree("scalar"))
    with h5py.File(path, "r+") as file:
        file[f"spaces/p1/grams/mass/{name}"][place] = value
    for read in (
        lambda: read_spaces(path, verify=True),
        lambda: SpaceTree(path)["spaces"]["p1"]["grams"]["mass"],
    ):
        with pytest.raises(DamagedFile, match=r"spaces\.h5"):
            read()
