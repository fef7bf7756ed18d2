"""Pictures and plots by address: kept by browsers for ever where the address says the version."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from storage.web.library import Entry
from storage.web.pages import library

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

_FOREVER = "private, max-age=31536000, immutable"
Row = Annotated[int, Query(ge=0, lt=10**12)]
Axis = Annotated[int | None, Query(ge=0, le=2)]
At = Annotated[int, Query(ge=0, le=100)]
Theme = Literal["light", "dark"]
Name = Annotated[str, Query(max_length=200)]


@router.get("/data/{folder}/picture.png")
def picture(
    request: Request,
    folder: str,
    field: Name,
    row: Row = 0,
    step: Annotated[int, Query(ge=-1, lt=10**9)] = -1,
    axis: Axis = None,
    at: At = 50,
    theme: Theme = "light",
) -> Response:
    """A field of a sample."""
    return _answer(request, folder, "picture", row, field, step, axis, at / 100, theme)


@router.get("/data/{folder}/edges.png")
def edges(
    request: Request,
    folder: str,
    row: Annotated[int | None, Query(ge=0, lt=10**12)] = None,
    axis: Axis = None,
    at: At = 50,
) -> Response:
    """The edges of the mesh; with a row those of that sample's own geometry."""
    return _answer(request, folder, "mesh", row, axis, at / 100)


@router.get("/data/{folder}/plot.svg")
def plot(
    request: Request,
    folder: str,
    name: Name,
    kind: Literal["histogram", "series"] = "histogram",
    theme: Theme = "light",
) -> Response:
    """A plot of a scalar."""
    return _answer(request, folder, "plot", kind, name, theme, media="image/svg+xml")


@router.get("/data/{folder}/thumbnail.png")
def thumbnail(request: Request, folder: str) -> Response:
    """The small picture of the list."""
    return _answer(request, folder, "thumbnail")


@router.get("/data/{folder}/{kind}/{run}/{name}")
def report_picture(
    request: Request, folder: str, kind: str, run: str, name: Annotated[str, Path(max_length=300)]
) -> Response:
    """A picture of a training run or comparison."""
    return _answer(request, folder, "report_picture", kind, run, name)


def _answer(
    request: Request, folder: str, task: str, *args: Any, media: str = "image/png"
) -> Response:
    """The bytes of a picture, or that the browser has them."""
    shelf = library(request)
    entry = shelf.entry(folder)
    tag = _tag(entry, task, *args)
    headers = {"etag": tag}
    if request.query_params.get("v") == entry.version:
        headers["cache-control"] = _FOREVER
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    data = shelf.thumbnail(entry) if task == "thumbnail" else shelf.ask(entry, task, *args)
    return Response(data, media_type=media, headers=headers)


def _tag(entry: Entry, *what: Any) -> str:
    return (
        f'"{hashlib.sha256(repr((entry.folder, entry.version, what)).encode()).hexdigest()[:24]}"'
    )
