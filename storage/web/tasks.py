"""What worker processes can do with an open data set, by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO, StringIO
from typing import Any

import numpy as np

from storage.pictures.triangles import Plane
from storage.web import facts, listings
from storage.web.limits import is_png
from storage.web.opened import NotThere, OpenDataset
from storage.web.pictures import field_picture, mesh_picture
from storage.web.plots import histogram, series
from storage.web.reports import report_html

__all__ = ["TASKS"]

_REPORTS = {"training": ("report.md", "evaluation.md"), "comparison": ("comparison.md",)}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_TEXT, _PICTURE = 1 << 18, 8 << 20


def picture(
    opened: OpenDataset, row: int, field: str, step: int, axis: int | None, at: float, theme: str
) -> bytes:
    """PNG of a field of a sample."""
    return field_picture(opened, row, field, step, _plane(opened, axis, at), theme)


def mesh(opened: OpenDataset, row: int | None, axis: int | None, at: float) -> bytes:
    """PNG of the edges of the mesh at rest, or of a sample's."""
    return mesh_picture(opened, row, _plane(opened, axis, at))


def _plane(opened: OpenDataset, axis: int | None, at: float) -> Plane | None:
    return None if axis is None or int(opened.data.mesh["gdim"]) != 3 else Plane(axis, at)


def row_of(opened: OpenDataset, sample: int) -> int:
    """Position of the sample with an id."""
    return opened.row_of(sample)


def plot(opened: OpenDataset, kind: str, name: str, theme: str) -> bytes:
    """SVG of a scalar: its histogram, or along the order of solving."""
    scalars = opened.scalars()
    if name not in scalars or kind not in ("histogram", "series"):
        raise NotThere(f"there is no {kind} of {name!r}")
    title = facts.SOLVED.get(name, name)
    if kind == "histogram":
        return histogram(scalars[name], title, theme)
    if "order" not in scalars:
        raise NotThere("the order of solving is not known")
    rtol = opened.data.manifest.get("rtol") if name == "true_residual" else None
    limit = float(rtol) if isinstance(rtol, int | float) and rtol > 0 else None
    return series(scalars["order"], scalars[name], title, theme, limit)


def scalars_csv(opened: OpenDataset) -> bytes:
    """All scalars as CSV, a row a sample."""
    table = opened.scalars()
    out = StringIO()
    out.write(",".join(_quoted(name) for name in table) + "\n")
    columns = [values.tolist() for values in table.values()]
    out.writelines(",".join(map(repr, row)) + "\n" for row in zip(*columns, strict=True))
    return out.getvalue().encode()


def _quoted(name: str) -> str:
    """A heading, quoted so that no spreadsheet takes it for a formula or for two."""
    plain = re.sub(r"[\r\n]", " ", name)
    return f'"{plain.replace(chr(34), chr(34) * 2)}"' if re.search(r'[",=+@]', plain) else plain


def scalars_page(opened: OpenDataset, first: int, count: int) -> dict[str, list[Any]]:
    """Scalars of some samples by ascending id; numbers that aren't finite are null."""
    rows = slice(first, first + count)
    return {name: _finite(values[rows]) for name, values in opened.scalars().items()}


def values(opened: OpenDataset, row: int, name: str, as_npy: bool) -> Any:
    """Coefficients or parameters of one sample: the bytes of a .npy file, or nested lists."""
    row, data = opened.row(row), opened.data
    if name not in [*data.inputs, *data.outputs, *data.parameters]:
        raise NotThere(f"there is no field or parameter {name!r}")
    array = data.read(name, row)
    if not as_npy:
        return {"dtype": str(array.dtype), "shape": list(array.shape), "values": _finite(array)}
    out = BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def _finite(array: Any) -> Any:
    if isinstance(array, np.ndarray) and array.dtype.kind == "f" and not np.isfinite(array).all():
        shown = array.astype(object)
        shown[~np.isfinite(array)] = None
        return shown.tolist()
    return array.tolist()


def report(opened: OpenDataset, kind: str, run: str, base: str, version: str) -> list[str]:
    """Texts of a training run or comparison as HTML; their pictures are at `base`."""
    folder = _report_folder(opened, kind, run)
    texts = []
    for name in _REPORTS[kind]:
        try:
            data = opened.bytes_of(folder / name, _TEXT)
        except NotThere:
            continue
        texts.append(data.decode("utf-8", "replace"))
    if not texts:
        raise NotThere(f"{kind} {run} has no report")
    pictures = sorted(p.name for p in list(folder.iterdir())[:500] if p.suffix == ".png")
    addresses = {name: f"{base}/{name}?v={version}" for name in pictures if _NAME.fullmatch(name)}
    return [report_html(text, addresses) for text in texts]


def report_picture(opened: OpenDataset, kind: str, run: str, name: str) -> bytes:
    """A PNG of a training run or comparison."""
    folder = _report_folder(opened, kind, run)
    if not _NAME.fullmatch(name) or not name.endswith(".png"):
        raise NotThere(f"there is no picture {name!r}")
    data = opened.bytes_of(folder / name, _PICTURE)
    if not is_png(data):
        raise NotThere("it is no PNG")
    return data


def _report_folder(opened: OpenDataset, kind: str, run: str) -> Any:
    if kind not in _REPORTS or run not in opened.folders(kind):
        raise NotThere(f"there is no {kind} {run!r}")
    return opened.folder.path / kind / run


def thumbnail(opened: OpenDataset) -> bytes:
    """The small picture of the list, drawn where none is stored."""
    from storage.pictures.thumbnail import thumbnail as drawn

    opened.row(0)
    found = drawn(opened.data)
    if found is None:
        raise NotThere("nothing of it can be drawn")
    return found


TASKS: dict[str, Callable[..., Any]] = {
    "facts": facts.facts,
    "failures": listings.failures,
    "mesh": mesh,
    "picture": picture,
    "plot": plot,
    "report": report,
    "report_picture": report_picture,
    "row_of": row_of,
    "sample": facts.sample,
    "scalars_csv": scalars_csv,
    "scalars_page": scalars_page,
    "shards": listings.shards,
    "thumbnail": thumbnail,
    "values": values,
}
