"""What axes and arrays of a file are taken for, and what is asked instead of guessed."""

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import StorageError
from storage.importing import open_source, read_layout
from storage.importing.parts import Part


def layout_of(path, arrays, **options):
    np.savez(path, **{key: np.zeros(a) if isinstance(a, tuple) else a for key, a in arrays.items()})
    with open_source(path) as source:
        return read_layout(source, **options)


def parts(layout):
    return {part.key: (part.axes, part.fields) for part in layout.parts}


PLAIN = [
    ({"x": (5, 9), "y": (5, 9)}, {"x": ("nx", ("a",)), "y": ("nx", ("u",))}),
    ({"x": (5, 9, 12), "y": (5, 9, 12)}, {"x": ("nxy", ("a",)), "y": ("nxy", ("u",))}),
    ({"x": (5, 1, 9, 12), "y": (5, 9, 12)}, {"x": ("ncxy", ("a",)), "y": ("nxy", ("u",))}),
    (
        {"x": (5, 2, 9, 12), "y": (5, 1, 9, 12)},
        {"x": ("ncxy", ("a0", "a1")), "y": ("ncxy", ("u",))},
    ),
    ({"x": (5, 3, 40), "y": (5, 1, 40)}, {"x": ("ncx", ("a0", "a1", "a2")), "y": ("ncx", ("u",))}),
    ({"a": (2, 9, 9, 9), "u": (2, 9, 9, 9)}, {"a": ("nxyz", ("a",)), "u": ("nxyz", ("u",))}),
    ({"coeff": (2, 4, 4), "sol": (2, 4, 4)}, {"coeff": ("nxy", ("a",)), "sol": ("nxy", ("u",))}),
]


@pytest.mark.parametrize(("arrays", "expected"), PLAIN)
def test_plain_arrays_are_understood(tmp_path, arrays, expected):
    assert parts(layout_of(tmp_path / "f.npz", arrays)) == expected


def test_what_is_said_counts(tmp_path):
    arrays = {"k": (4, 6, 5), "w": (4, 6, 5, 7), "m": (4,), "other": (3,)}
    found = layout_of(
        tmp_path / "f.npz",
        arrays,
        inputs=["k=kappa", "m=mu"],
        outputs=["w=p"],
        axes=["w=nxyt"],
        domain=[0, 2, -1, 1],
    )
    assert parts(found) == {"k": ("nxy", ("kappa",)), "m": ("n", ("mu",)), "w": ("nxyt", ("p",))}
    assert (found.shape, found.low, found.high) == ((6, 5), (0.0, -1.0), (2.0, 1.0))
    assert found.times == tuple(range(7))
    assert [part.role for part in found.parts] == ["input", "parameter", "output"]
    options = {"inputs": ["k", "v=nu"], "outputs": ["w"], "axes": ["w=nxyt", "v=nc"]}
    found = layout_of(tmp_path / "f.npz", arrays | {"v": (4, 2)}, **options)
    assert found.fields("parameter") == ["nu"] and parts(found)["v"] == ("nc", ("nu",))


def test_times_and_coordinates_of_the_file_are_taken(tmp_path):
    times, x = np.array([0.0, 0.5, 2.0]), np.linspace(1, 3, 5)
    arrays = {"inputs/a": (4, 5), "outputs/u": (4, 3, 5), "times": times, "axes/x": x}
    found = layout_of(tmp_path / "f.npz", arrays)
    assert (found.times, found.low, found.high) == ((0.0, 0.5, 2.0), (1.0,), (3.0,))
    assert parts(found)["outputs/u"] == ("ntx", ("u",))
    every = np.tile(times, (4, 1))
    assert layout_of(tmp_path / "f.npz", arrays | {"times": every}).times == (0.0, 0.5, 2.0)
    every[2] += 1
    with pytest.raises(StorageError, match="differ by sample"):
        layout_of(tmp_path / "f.npz", arrays | {"times": every})


def test_single_and_double_precision(tmp_path):
    half, single = np.zeros((2, 4), "f2"), np.zeros((2, 4), "f4")
    assert layout_of(tmp_path / "f.npz", {"x": half, "y": single}).dtype == "float32"
    for other in (np.zeros((2, 4)), np.zeros((2, 4), int), np.zeros((2, 4), bool)):
        assert layout_of(tmp_path / "f.npz", {"x": single, "y": other}).dtype == "float64"


WRONG = [
    ({"p": (4, 5), "q": (4, 5)}, {}, r"which arrays are inputs.*p \(4, 5\), q"),
    ({"x": (4, 5), "y": (4, 5)}, {"inputs": ["x"], "outputs": ["z"]}, "no array 'z'; it holds x"),
    ({"x": (4, 5), "y": (4, 6)}, {}, "5 along x|6 along x"),
    ({"x": (4, 5), "y": (3, 5)}, {}, "along n"),
    ({"x": (4, 20, 20), "y": (4, 10, 20, 20)}, {}, r"axes of y \(4, 10, 20, 20\).*--axes"),
    ({"x": (4, 20, 20, 3), "y": (4, 20, 20, 3)}, {}, r"axes of x \(4, 20, 20, 3\).*x=nxyc"),
    ({"x": (4, 20, 20), "y": (4, 20, 20, 1)}, {}, r"axes of x"),
    ({"x": (4, 5), "y": (4, 5)}, {"axes": ["nxx"]}, "at most once"),
    ({"x": (4, 5), "y": (4, 5)}, {"axes": ["xy"]}, "lacks n"),
    ({"x": (4, 5), "y": (4, 5)}, {"axes": ["ny"]}, "expected each of"),
    ({"x": (4, 5), "y": (4, 5)}, {"axes": ["z=nx"]}, "none of"),
    ({"x": (4, 5), "y": (4, 5)}, {"axes": ["nxy"]}, "has shape"),
    ({"x": (4, 5), "y": (4, 5)}, {"axes": ["x=nt", "y=nx"]}, "expected each of"),
    ({"x": (4, 3, 5), "y": (4, 5)}, {"axes": ["x=ntx", "y=nx"]}, "input x has a time axis"),
    ({"x": (4, 5), "y": (4, 2)}, {"axes": ["y=nc"]}, "y lacks the axes"),
    ({"x": (4, 1), "y": (4, 1)}, {}, "two points"),
    ({"x": (0, 9), "y": (0, 9)}, {}, "at least one sample"),
    ({"x": (4, 5), "y": (4, 5)}, {"domain": [0, 1, 0, 1]}, "what are the axes|4 numbers for 1"),
    ({"x": (4, 5), "y": (4, 5)}, {"domain": [1, 0]}, "ascending"),
    ({"x": (4, 5), "y": (4, 5)}, {"domain": [0, float("nan")]}, "ascending"),
    ({"x": (4, 5), "y": (4, 5)}, {"inputs": ["x=u"], "outputs": ["y"]}, "two fields.*'u'"),
    ({"x": (4, 5), "y": (4, 5)}, {"inputs": ["x=1a"], "outputs": ["y"]}, "'1a' can't be"),
    ({"x": (4, 5), "y": (4, 5)}, {"inputs": ["x=displacement"], "outputs": ["y"]}, "can't be"),
    ({"x": (4, 5), "y": (4, 5)}, {"inputs": ["x=p,q"], "outputs": ["y"]}, "1 channels, but 2"),
    ({"x": (4, 3), "y": (4, 3), "x-coordinate": np.array([0, 1, 4.0])}, {}, "equally spaced"),
    ({"samples/id": (4,), "inputs/a": (4, 5), "outputs/u": (4, 5)}, {}, "is a shard"),
    ({"cells": (4, 3), "inputs/a": (4, 5), "outputs/u": (4, 5)}, {}, "holds coefficients"),
    ({"0000/data": (5, 8, 8, 2)}, {}, "a group for each sample"),
]


@pytest.mark.parametrize(("arrays", "options", "message"), WRONG)
def test_what_is_in_doubt_is_asked(tmp_path, arrays, options, message):
    with pytest.raises(StorageError, match=message) as error:
        layout_of(tmp_path / "f.npz", arrays, **options)
    assert "\n" not in str(error.value)


def test_pdebench_is_recognised(tmp_path):
    x = (np.arange(8) + 0.5) / 8
    with h5py.File(tmp_path / "darcy.hdf5", "w") as file:
        file["nu"], file["tensor"] = np.zeros((3, 8, 8), "f4"), np.zeros((3, 1, 8, 8), "f4")
        file["x-coordinate"], file["y-coordinate"] = x.astype("f4"), x.astype("f4")
    with h5py.File(tmp_path / "burgers.hdf5", "w") as file:
        file["tensor"], file["x-coordinate"] = np.zeros((3, 5, 8), "f4"), x
        file["t-coordinate"] = np.arange(6) * 0.25
    with open_source(tmp_path / "darcy.hdf5") as source:
        darcy = read_layout(source)
    assert parts(darcy) == {"nu": ("nxy", ("a",)), "tensor": ("ncxy", ("u",))}
    assert darcy.low == (0.0625, 0.0625) and darcy.high == (0.9375, 0.9375)
    assert darcy.dtype == "float32" and darcy.times is None
    with open_source(tmp_path / "burgers.hdf5") as source:
        burgers = read_layout(source)
    assert [(part.role, part.steps) for part in burgers.parts] == [
        ("input", (0, 1)),
        ("output", (1, 5)),
    ]
    assert burgers.times == (0.25, 0.5, 0.75, 1.0)


@given(st.permutations(["n", "c", "t", "x", "y"]), st.sets(st.sampled_from("cty")), st.data())
@settings(max_examples=40, deadline=None)
def test_axes_in_any_order_give_the_same_columns(order, left_out, data):
    letters = [axis for axis in order if axis not in left_out]
    sizes = {axis: data.draw(st.integers(2, 4)) for axis in letters}
    block = np.random.default_rng(0).standard_normal([sizes[axis] for axis in letters])
    names = tuple(f"u{k}" for k in range(sizes.get("c", 1)))
    found = Part("k", "output", "".join(letters), names).columns(block)
    for channel, name in enumerate(names):
        for n in range(sizes["n"]):
            for t in range(sizes.get("t", 1)):
                at = {"n": n, "c": channel, "t": t}
                piece = block[tuple(at.get(axis, slice(None)) for axis in letters)]
                space = [axis for axis in letters if axis in "xy"]
                expected = piece.transpose([space.index(axis) for axis in sorted(space)]).ravel()
                values = found[name][n, t] if "t" in letters else found[name][n]
                assert np.array_equal(values, expected)


def blocks(path, key, axis, rows, count):
    with open_source(path) as source:
        steps = range(0, count, rows)
        return np.concatenate(
            [source.rows(key, axis, s, min(s + rows, count)) for s in steps], axis=axis
        )


@pytest.mark.parametrize("kind", ["npz", "packed", "fortran", "hdf5", "pt"])
def test_blocks_are_the_array(tmp_path, kind):
    array = np.random.default_rng(1).standard_normal((13, 4, 5)).astype("f4")
    path = tmp_path / "file"
    if kind == "hdf5":
        with h5py.File(path, "w") as file:
            file.create_dataset("g/v", data=array, chunks=(3, 4, 5), compression="gzip")
    elif kind == "pt":
        torch.save({"g/v": torch.from_numpy(array), "note": "text"}, path)
    else:
        stored = np.asfortranarray(array) if kind == "fortran" else array
        with open(path, "wb") as file:
            (np.savez_compressed if kind == "packed" else np.savez)(file, **{"g/v": stored})
    for axis in (0, 1):
        for rows in (1, 4, 13):
            assert np.array_equal(blocks(path, "g/v", axis, rows, array.shape[axis]), array)
    with open_source(path) as source:  # backwards and with gaps, too
        assert np.array_equal(source.rows("g/v", 0, 5, 7), array[5:7])
        assert np.array_equal(source.rows("g/v", 0, 9, 10), array[9:10])
        assert np.array_equal(source.rows("g/v", 0, 2, 4), array[2:4])
        assert source.shapes == {"g/v": (13, 4, 5)} and source.dtypes["g/v"] == np.float32


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text").write_text("no arrays")
    with pytest.raises(StorageError, match="neither HDF5 nor NPZ"), open_source(tmp_path / "text"):
        pass
    with pytest.raises(StorageError, match="no such file"), open_source(tmp_path / "missing"):
        pass
    np.savez(tmp_path / "o.npz", x=np.array([{"a": 1}], dtype=object), y=np.zeros((2, 3)))
    with open_source(tmp_path / "o.npz") as source:  # an object array would have to be unpickled
        assert list(source.shapes) == ["y"]
    torch.save({"x": torch.zeros(3), "f": print}, tmp_path / "code.pt")
    code = pytest.raises(StorageError, match="could run code")
    with code as error, open_source(tmp_path / "code.pt"):
        pass
    assert "\x1b" not in str(error.value)  # nothing of torch's advice
    torch.save([torch.zeros(3)], tmp_path / "list.pt")
    with pytest.raises(StorageError, match="dictionary"), open_source(tmp_path / "list.pt"):
        pass
    whole = (tmp_path / "o.npz").read_bytes()
    np.savez(tmp_path / "cut.npz", x=np.zeros((50, 9)), y=np.zeros((50, 9)))
    whole = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StorageError), open_source(tmp_path / "cut.npz"):
        pass


def test_a_file_that_is_damaged_is_named_and_other_errors_are_not_its_own(tmp_path):
    with open(tmp_path / "f.npz", "wb") as file:
        np.savez_compressed(
            file, x=np.random.default_rng(0).standard_normal((50, 99)), y=np.ones(3)
        )
    content = bytearray((tmp_path / "f.npz").read_bytes())
    content[len(content) // 3] ^= 0xFF
    (tmp_path / "f.npz").write_bytes(content)
    with (
        open_source(tmp_path / "f.npz") as source,
        pytest.raises(StorageError, match="f.npz: can't"),
    ):
        source.rows("x", 0, 0, 50)
    with pytest.raises(ValueError, match="mine"), open_source(tmp_path / "f.npz"):
        raise ValueError("mine")
