"""A user's own samples: read as they are, and refused with a reason."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.inputs import FileSamples, Where
from pipeline.models import identity
from pipeline.spec_errors import SpecError

ROWS = np.random.default_rng(0).standard_normal((12, 9))
NONE = np.empty(0)


def where(n=9):
    return Where(np.random.default_rng(1).random((n, 2)), np.zeros(2), np.ones(2))


def write(folder, kind, rows=ROWS, name="samples", **more):
    path = folder / f"{name}.{kind}"
    if kind == "npy":
        np.save(path, rows)
    elif kind == "npz":
        np.savez(path, a=rows, **more)
    else:
        with h5py.File(path, "w") as file:
            for name, value in {"group/a": rows, **more}.items():
                file[name] = value
    return str(path)


def spec(path, dataset=None):
    return FileSamples(law="file", path=path, dataset=dataset)


def message(call):
    with pytest.raises(SpecError) as caught:
        call()
    (line,) = caught.value.mistakes
    assert "\n" not in line
    return line


@pytest.mark.parametrize("kind", ["npy", "npz", "h5", "hdf5"])
def test_sample_i_is_row_i(tmp_path, kind):
    law = spec(write(tmp_path, kind))
    assert law.rows() == 12
    sampler = law.at(where())
    for i in (5, 0, 11):
        values = sampler.evaluate(sampler.draw(np.random.default_rng(0), NONE, i))
        assert values.dtype == np.float64 and np.array_equal(values, ROWS[i])


@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_an_array_among_several_is_taken_by_name(tmp_path, kind):
    path = write(tmp_path, kind, b=ROWS.astype("f4"))
    sampler = spec(path, "b").at(where())
    assert np.array_equal(sampler.draw(None, NONE, 2), ROWS[2].astype("f4"))
    for name in (None, "c"):
        line = message(lambda name=name: spec(path, name).at(where()))
        assert "dataset" in line and line.endswith(("a, b", "b, group/a"))


@pytest.mark.parametrize("kind", ["npy", "npz", "h5"])
def test_arrays_that_do_not_fit_are_refused(tmp_path, kind):
    path = write(tmp_path, kind)
    line = message(lambda: spec(path).at(where(10)))
    assert "(12, 9)" in line and "(samples, 10)" in line
    line = message(lambda: spec(path).at(where()).draw(None, NONE, 12))
    assert "12 rows" in line and "at most 12 samples" in line
    for k, rows in enumerate((np.zeros(9), np.zeros((2, 9), complex), np.zeros((2, 3, 3)))):
        other = write(tmp_path, kind, rows, name=f"wrong{k}")
        assert "expected numbers (N, n)" in message(lambda: spec(other).at(where()))  # noqa: B023
    bad = ROWS.copy()
    bad[4, 7] = np.nan
    sampler = spec(write(tmp_path, kind, bad, name="bad")).at(where())
    sampler.draw(None, NONE, 3)
    line = message(lambda: sampler.draw(None, NONE, 4))
    assert "row 4 has nan in column 7" in line


@pytest.mark.parametrize("kind", ["npy", "npz", "h5"])
def test_files_that_cannot_be_read_are_refused(tmp_path, kind):
    path = tmp_path / f"none.{kind}"
    assert "cannot be read" in message(lambda: spec(str(path)).at(where()))
    assert "cannot be read" in message(lambda: spec(str(path)).identity_extra())
    path.write_bytes(b"this is something else")
    assert "cannot be read" in message(lambda: spec(str(path)).at(where()))
    path.write_bytes(b"")
    assert "cannot be read" in message(lambda: spec(str(path)).at(where()))
    other = write(tmp_path, "npz" if kind == "npy" else "npy", name="other")
    path.write_bytes(Path(other).read_bytes())
    assert "cannot be read" in message(lambda: spec(str(path)).at(where()))


def test_pickled_objects_are_not_loaded(tmp_path):
    path = tmp_path / "samples.npy"
    np.save(path, np.array([[object()]]), allow_pickle=True)
    assert "cannot be read" in message(lambda: spec(str(path)).at(where()))


def test_other_kinds_of_file_and_names_in_npy_are_refused(tmp_path):
    with pytest.raises(ValueError, match="npy, .npz, .h5"):
        spec("samples.csv")
    path = write(tmp_path, "npy")
    assert "no names" in message(lambda: spec(path, "a").at(where()))


def test_the_identity_is_the_content_not_the_place(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first, moved = write(tmp_path / "one", "npy"), write(tmp_path / "two", "npy")
    key = identity(spec(first))
    assert len(key["sha256"]) == 64 and key == identity(spec(moved))
    write(tmp_path / "two", "npy", ROWS + 1)
    assert identity(spec(moved)) != key
    assert identity(spec(first)) == key


def test_feature_distances_are_root_mean_square_distances(tmp_path):
    low_rank = np.random.default_rng(0).standard_normal((40, 4)) @ ROWS[:4]
    sampler = spec(write(tmp_path, "npy", low_rank)).at(where())
    rows = [sampler.draw(None, NONE, i) for i in (3, 30)]
    features = [sampler.features(row, 4) for row in rows]
    expected = np.sqrt(np.mean((rows[0] - rows[1]) ** 2))
    assert np.isclose(np.linalg.norm(features[0] - features[1]), expected)
    assert sampler.features(rows[0], 2).shape == (2,)


def test_a_path_is_relative_to_the_spec(tmp_path):
    import yaml

    from pipeline.spec import load_spec

    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "mine.npy", np.ones((3, 9)))
    raw = {
        "name": "t",
        "samples": 3,
        "problem": {"family": "darcy", "coefficient": {"law": "file", "path": "data/mine.npy"}},
        "mesh": {"domain": "unit_square", "resolution": 2},
    }
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(raw))
    law = load_spec(tmp_path / "spec.yaml").problem.coefficient
    assert law.path == str(tmp_path / "data" / "mine.npy") and law.rows() == 3


def test_more_samples_than_the_file_has_write_nothing(tmp_path):
    from pipeline import stages
    from pipeline.spec import parse_spec

    np.save(tmp_path / "mine.npy", np.ones((3, 9)))
    law = {"law": "file", "path": str(tmp_path / "mine.npy")}
    raw = {
        "name": "t",
        "samples": 3,
        "problem": {"family": "darcy", "coefficient": law},
        "mesh": {"domain": "unit_square", "resolution": 2},
    }
    folder = stages.sample(parse_spec(raw), tmp_path, quiet=True)
    before = sorted(folder.rglob("*"))
    with pytest.raises(SpecError, match="has 3, ask for at most that"):
        stages.sample(parse_spec(raw | {"samples": 4}), tmp_path, quiet=True)
    assert sorted(folder.rglob("*")) == before
