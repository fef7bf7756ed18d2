"""The pages: the list, a data set, one of its samples, its shards, failures and reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, HTMLResponse
from markupsafe import Markup

from storage.catalogue import FACETS, QueryError
from storage.web import view
from storage.web.html import STATIC, render
from storage.web.library import Entry, Library
from storage.web.pool import Damaged, Missing

__all__ = ["Page", "library", "router"]

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

PER_PAGE = 25
SORTS = {
    "-updated": "newest first",
    "updated": "oldest first",
    "name": "name",
    "-samples": "most samples",
    "-bytes": "largest",
    "bytes": "smallest",
    "-dofs": "most unknowns",
    "mean_iterations": "fewest iterations",
    "-worst_residual": "worst residual",
}
_WHOLE = 10**12
_MOST_FIELDS = 6
Page = Annotated[int, Query(ge=0, lt=_WHOLE, description="From 0.")]


def library(request: Request) -> Library:
    """The library of the application."""
    found: Library = request.app.state.library
    return found


@router.get("/")
def index(
    request: Request,
    q: Annotated[str, Query(max_length=2000)] = "",
    sort: Annotated[str, Query(max_length=40)] = "-updated",
    page: Annotated[int, Query(ge=1, le=_WHOLE)] = 1,
) -> HTMLResponse:
    """The list, with what was searched for and chosen."""
    shelf = library(request)
    ready = shelf.wait()
    sort = sort if sort in SORTS else "-updated"
    chosen = {name: request.query_params.getlist(name) for name in FACETS}
    chosen = {name: values for name, values in chosen.items() if any(values)}
    found: list[Any] = []
    facets: dict[str, list[tuple[str, int]]] = {}
    count, wrong = 0, ""
    try:
        count = shelf.catalogue.count(q, **chosen)
        page = min(page, max(1, -(-count // PER_PAGE)))
        offset = (page - 1) * PER_PAGE
        found = shelf.catalogue.find(q, sort=sort, limit=PER_PAGE, offset=offset, **chosen)
        facets = shelf.catalogue.facets(q, **chosen)
    except QueryError as error:
        wrong = str(error)
    asked = [("q", q)] * bool(q) + [("sort", sort)] * (sort != "-updated")
    asked += [(name, value) for name, values in chosen.items() for value in values]
    return render(
        request,
        "list.html",
        400 if wrong else 200,
        q=q,
        sort=sort,
        sorts=SORTS,
        chosen=chosen,
        facets=facets,
        found=found,
        versions={row.folder: shelf.version(row.folder) for row in found},
        count=count,
        page=page,
        pages=max(1, -(-count // PER_PAGE)),
        asked=asked,
        wrong=wrong,
        ready=ready,
    )


@router.get("/data/{folder}")
def dataset(request: Request, folder: str) -> HTMLResponse:
    """A data set, with one sample of it."""
    shelf, entry = library(request), library(request).entry(folder)
    try:
        facts = shelf.ask(entry, "facts")
    except Damaged as error:
        return render(request, "damaged.html", 422, entry=entry, text=str(error))
    shown, unread = None, ""
    try:
        shown = _sample(request, shelf, entry, facts) if facts["samples"] else None
    except Damaged as error:  # of this one sample; there is more to show
        unread = str(error)
    failed = shelf.ask(entry, "failures", 0) if facts["failed"] else None
    return render(
        request,
        "dataset.html",
        entry=entry,
        facts=facts,
        shown=shown,
        unread=unread,
        failures=failed,
        problem=view.problem(facts["problem"]),
        loader=view.loader(facts, shelf.root / folder),
    )


@router.get("/data/{folder}/sample")
def sample(request: Request, folder: str) -> HTMLResponse:
    """One sample alone: what the slider puts into the page."""
    shelf, entry = library(request), library(request).entry(folder)
    facts = shelf.ask(entry, "facts")
    shown = _sample(request, shelf, entry, facts)
    return render(request, "sample.html", entry=entry, facts=facts, shown=shown)


@router.get("/data/{folder}/shards")
def shards(request: Request, folder: str, page: Page = 0) -> HTMLResponse:
    """A page of the list of shards."""
    return _listing(request, folder, "shards", page)


@router.get("/data/{folder}/failures")
def failures(request: Request, folder: str, page: Page = 0) -> HTMLResponse:
    """A page of the list of samples that failed."""
    return _listing(request, folder, "failures", page)


def _listing(request: Request, folder: str, what: str, page: int) -> HTMLResponse:
    entry = library(request).entry(folder)
    found = library(request).ask(entry, what, page)
    return render(request, f"{what}.html", entry=entry, found=found)


@router.get("/data/{folder}/{kind}/{run}")
def report(request: Request, folder: str, kind: str, run: str) -> HTMLResponse:
    """The report of a training run, or of a comparison of operators."""
    entry = library(request).entry(folder)
    base = f"/data/{view.quoted(folder)}/{kind}/{view.quoted(run)}"
    found = library(request).ask(entry, "report", kind, run, base, entry.version)
    texts = [Markup(text) for text in found]  # escaped by what made them of Markdown
    return render(request, "report.html", entry=entry, kind=kind, run=run, texts=texts)


@router.get("/static/{name}")
def static(name: str) -> FileResponse:
    """A style sheet, script or icon of this package."""
    known = {path.name: path for path in STATIC.iterdir()}
    if name not in known:
        raise Missing(f"there is no {name[:100]!r}")
    return FileResponse(
        known[name], headers={"cache-control": "public, max-age=31536000, immutable"}
    )


@router.get("/favicon.ico")
def icon() -> FileResponse:
    """The icon, by its old name."""
    return FileResponse(STATIC / "icon.svg")


def _sample(
    request: Request, shelf: Library, entry: Entry, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """What is shown of a sample, as the query says; out of range is brought into range."""
    asked = request.query_params
    row = view.whole(asked.get("row"), 0, facts["samples"] - 1, 0)
    wrong = ""
    if asked.get("id"):
        try:
            row = shelf.ask(entry, "row_of", view.whole(asked["id"], 0, 2**62, 0))
        except Missing as error:
            wrong = str(error)
    found = shelf.ask(entry, "sample", row)
    steps = len(found["times"])
    step = view.whole(asked.get("step"), 0, max(0, steps - 1), max(0, steps - 1))
    names = [field["name"] for field in facts["fields"]]
    wanted = [name for name in names if name in asked.getlist("field")] or names[:_MOST_FIELDS]
    flat = facts["dimension"] < 3
    axis = None if flat else view.whole(asked.get("axis"), 0, 2, 2)
    at = 50 if flat else view.whole(asked.get("at"), 0, 100, 50)
    return {
        "sample": found,
        "row": row,
        "step": step,
        "fields": wanted,
        "axis": axis,
        "at": at,
        "edges": bool(asked.get("edges")),
        "wrong": wrong,
        "pictures": view.pictures(entry, facts, found, step, axis, at, wanted),
        "here": view.here(row, step if steps else None, axis, at, asked),
    }
