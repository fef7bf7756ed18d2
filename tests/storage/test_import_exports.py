"""What is exported on a grid and imported again has the same values."""

import numpy as np
import pytest
from synthetic import make_dataset
from test_import_writer import imported

from storage import open_dataset
from storage.exports import FORMATS, ExportOptions


def on_grid(dataset, name):
    """Values at the vertices of the 4 × 4 squares, which the grid of 5 × 5 points has in common."""
    return dataset.read(name)[..., np.lexsort(dataset.mesh["points"].T[::-1])]


@pytest.mark.parametrize(("form", "dtype"), [("npz", "f8"), ("pdebench", "f4")])
def test_exported_and_imported_again(tmp_path, form, dtype):
    dataset = open_dataset(make_dataset(tmp_path, "scalar", samples=10))
    options = ExportOptions(resolution=(5, 5), fields=("a", "u"))
    (path,) = (p for p in FORMATS[form](dataset, tmp_path / f"f.{form}", options) if p.is_file())
    again = imported(path, tmp_path / "again")
    assert again.ids.tolist() == dataset.ids.tolist()
    for name in ("a", "u"):
        expected, found = on_grid(dataset, name), again.read(name)
        assert found.dtype == dtype
        scale = np.abs(expected).max()
        assert np.abs(found - expected).max() <= (1e-14 if dtype == "f8" else 1e-7) * scale
    assert np.allclose(again.mesh["points"].max(axis=0), 1.0)
    inside = np.random.default_rng(0).uniform(0.05, 0.95, (7, 2))
    if form == "npz":  # and a grid of any resolution gives the imported function again
        u = again.function("u", 3)
        (path,) = FORMATS[form](again, tmp_path / "g.npz", ExportOptions(resolution=(9, 9)))
        finer = imported(path, tmp_path / "finer")
        assert np.allclose(finer.function("u", 3)(inside), u(inside), rtol=0, atol=1e-2)
        vertices = again.mesh["points"]
        assert np.allclose(finer.function("u", 3)(vertices), u(vertices), rtol=0, atol=1e-14)
