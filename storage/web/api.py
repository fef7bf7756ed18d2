"""The JSON API; `/api` shows what there is, from the OpenAPI description."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from storage.catalogue import FACETS, Summary
from storage.web.html import render
from storage.web.pages import Page, library

__all__ = ["router"]

router = APIRouter(tags=["data sets"])

_WRONG: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such data set, sample or field."},
    422: {"description": "It is damaged, or a parameter is wrong."},
}
Folder = Annotated[str, Path(description="Name of the folder below the root.")]
Id = Annotated[int, Path(ge=0, lt=2**62, description="Id of a stored sample.")]
Offset = Annotated[int, Query(ge=0, lt=10**12)]


class Found(BaseModel):
    """Data sets that were found."""

    count: int
    datasets: list[Summary]


class Values(BaseModel):
    """Numbers of one sample; NaN and infinities are null."""

    dtype: str
    shape: list[int]
    values: Any


@router.get("/api/datasets", summary="Find data sets", responses={400: {"description": "Query."}})
def datasets(
    request: Request,
    q: Annotated[str, Query(max_length=2000, description="Words, or a query.")] = "",
    sort: Annotated[str, Query(max_length=40, description="A key; - in front: falling.")] = (
        "-updated"
    ),
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    offset: Offset = 0,
) -> Found:
    """Rows of the index; facets narrow it: `family=darcy&family=heat&dimension=2`."""
    shelf, chosen = library(request), _chosen(request)
    shelf.wait()
    rows = shelf.catalogue.find(q, sort=sort, limit=limit, offset=offset, **chosen)
    return Found(count=shelf.catalogue.count(q, **chosen), datasets=rows)


@router.get("/api/facets", summary="Count values of facets")
def facets(
    request: Request, q: Annotated[str, Query(max_length=2000)] = ""
) -> dict[str, list[tuple[str, int]]]:
    """Of each facet its values, with how many of the data sets found have them."""
    library(request).wait()
    return library(request).catalogue.facets(q, **_chosen(request))


@router.get("/api/datasets/{folder}", summary="Describe a data set", responses=_WRONG)
def dataset(request: Request, folder: Folder) -> dict[str, Any]:
    """Its problem, fields, splits, provenance and what else its manifest says."""
    found: dict[str, Any] = _asked(request, folder, "facts")
    return found


@router.get("/api/datasets/{folder}/samples/{id}", summary="Describe a sample", responses=_WRONG)
def sample(request: Request, folder: Folder, id: Id) -> dict[str, Any]:
    """Its split, parameters, times, iterations and true residual."""
    shelf, entry = library(request), library(request).entry(folder)
    found: dict[str, Any] = shelf.ask(entry, "sample", shelf.ask(entry, "row_of", id))
    return found


@router.get(
    "/api/datasets/{folder}/samples/{id}/{name}.npy",
    summary="Read values as NumPy",
    responses=_WRONG | {200: {"content": {"application/octet-stream": {}}}},
    response_class=Response,
)
def values_npy(request: Request, folder: Folder, id: Id, name: str) -> Response:
    """Coefficients of a field, or a parameter, of one sample: a `.npy` file."""
    data = _values(request, folder, id, name, True)
    return Response(data, media_type="application/octet-stream")


@router.get("/api/datasets/{folder}/samples/{id}/{name}", summary="Read values", responses=_WRONG)
def values(request: Request, folder: Folder, id: Id, name: str) -> Values:
    """Coefficients of a field, or a parameter, of one sample, in stored type and shape."""
    return Values(**_values(request, folder, id, name, False))


@router.get("/api/datasets/{folder}/scalars", summary="Read scalars", responses=_WRONG)
def scalars(
    request: Request,
    folder: Folder,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> dict[str, list[Any]]:
    """Numbers of some samples by ascending id: parameters, moments, iterations, residuals."""
    found: dict[str, list[Any]] = _asked(request, folder, "scalars_page", offset, limit)
    return found


@router.get(
    "/api/datasets/{folder}/scalars.csv",
    summary="Read all scalars as CSV",
    responses=_WRONG | {200: {"content": {"text/csv": {}}}},
    response_class=Response,
)
def scalars_csv(request: Request, folder: Folder) -> Response:
    """A row for each sample."""
    data = _asked(request, folder, "scalars_csv")
    return Response(data, media_type="text/csv; charset=utf-8")


@router.get("/api/datasets/{folder}/shards", summary="List shards", responses=_WRONG)
def shards(request: Request, folder: Folder, page: Page = 0) -> dict[str, Any]:
    """A page of the shards: file, samples, bytes, SHA-256."""
    found: dict[str, Any] = _asked(request, folder, "shards", page)
    return found


@router.get("/api/datasets/{folder}/failures", summary="List failures", responses=_WRONG)
def failures(request: Request, folder: Folder, page: Page = 0) -> dict[str, Any]:
    """A page of the samples that aren't stored, with their reasons."""
    found: dict[str, Any] = _asked(request, folder, "failures", page)
    return found


@router.get("/api", include_in_schema=False, response_class=HTMLResponse)
def page(request: Request) -> HTMLResponse:
    """The OpenAPI description, to read."""
    schema = request.app.openapi()
    return render(request, "api.html", schema=schema)


def _chosen(request: Request) -> dict[str, list[str]]:
    return {name: request.query_params.getlist(name) for name in FACETS}


def _asked(request: Request, folder: str, task: str, *args: Any) -> Any:
    shelf = library(request)
    return shelf.ask(shelf.entry(folder), task, *args)


def _values(request: Request, folder: str, id: int, name: str, as_npy: bool) -> Any:
    shelf, entry = library(request), library(request).entry(folder)
    return shelf.ask(entry, "values", shelf.ask(entry, "row_of", id), name, as_npy)
