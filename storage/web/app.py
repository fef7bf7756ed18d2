"""The web application: pages, pictures and the JSON API over one root."""

from __future__ import annotations

import logging
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from storage.catalogue import QueryError
from storage.errors import StorageError
from storage.web import api, images, pages
from storage.web.html import render
from storage.web.library import Library
from storage.web.pool import Busy, Damaged, Missing
from storage.web.safety import Guard, is_loopback

__all__ = ["make_app", "serve"]

_log = logging.getLogger("rekrylov.web")
_STATUS = {Missing: 404, Damaged: 422, Busy: 503, QueryError: 400}


def make_app(library: Library) -> FastAPI:
    """Return the application, without the layer that says who may ask."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        yield
        library.close()

    app = FastAPI(
        title="Rekrylov catalogue",
        description="Data sets for operator learning below one folder. Nothing can be changed.",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.library = library
    for part in (pages, images, api):
        app.include_router(part.router)
    for kind, status in _STATUS.items():
        app.add_exception_handler(kind, _handler(status))
    app.add_exception_handler(StorageError, _handler(422))
    app.add_exception_handler(RequestValidationError, _handler(422))
    app.add_exception_handler(HTTPException, _handler(None))
    app.add_exception_handler(Exception, _handler(500))
    return app


def serve(
    root: Path,
    host: str = "127.0.0.1",
    port: int = 8765,
    say: Callable[[str], None] = print,
) -> None:
    """Show the data sets below a root to browsers, until SIGINT or SIGTERM.

    Args:
        root: folder that holds the data sets.
        host: address to listen at; off this machine a token is demanded.
        port: 0 for a free one.
        say: told the address to open.

    Raises:
        StorageError: the root is no folder, or nobody can listen there.
    """
    if not Path(root).is_dir():
        raise StorageError(f"{root}: is no folder; say where the data sets are with --root")
    listener = _listen(host, port)
    token = None if is_loopback(host) else secrets.token_urlsafe(24)
    library = Library(root)
    guard = Guard(make_app(library), token, loopback=token is None)
    address, port = listener.getsockname()[:2]
    name = f"[{address}]" if ":" in address else address
    say(f"http://{name}:{port}/" + (f"?token={token}" if token else ""))
    config = uvicorn.Config(
        guard,
        http=_Patient,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=256,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=3,
    )
    _Server(config).run(sockets=[listener])


class _Patient(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """A connection that ends if nothing is asked for, or an answer not taken, for a while.

    uvicorn alone waits for ever for the rest of a request, and there may be 256 connections.
    """

    patience = 30.0
    """Seconds that a request may take to arrive; an answer may take twice as long."""

    def connection_made(self, transport: Any) -> None:
        """Begin to watch it."""
        super().connection_made(transport)
        self.loop.call_later(self.patience, self._look, None)

    def _look(self, before: Any) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or self.cycle is before:
            self.transport.abort()
        else:
            self.loop.call_later(2 * self.patience, self._look, self.cycle)


class _Server(uvicorn.Server):
    """Ends quietly: the signal is not raised again after the end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """While the server runs, SIGINT and SIGTERM ask it to end."""

        def end(*_: Any) -> None:
            self.should_exit = True

        before = {n: signal.signal(n, end) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return socket.create_server(found[0][4][:2], family=found[0][0])
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"{host}:{port}: cannot be listened at ({reason})") from error


def _handler(status: int | None) -> Any:
    """Answer an error: JSON below /api, text for pictures, else a page."""

    async def answer(request: Request, error: Exception) -> Response:
        code = status if status is not None else getattr(error, "status_code", 500)
        text = _text(error, code)
        if code >= 500 and code != 503:
            _log.error("%s", request.url.path, exc_info=error)
        headers = {"retry-after": "5"} if code == 503 else {}
        if request.url.path.startswith("/api/"):
            return JSONResponse({"detail": text}, code, headers)
        if request.url.path.endswith((".png", ".svg", ".css", ".js")):
            return PlainTextResponse(text, code, headers)
        title = HTTPStatus(code).phrase
        return render(request, "error.html", code, headers, title=title, text=text)

    return answer


def _text(error: Exception, code: int) -> str:
    if isinstance(error, RequestValidationError):
        return "; ".join(f"{e['loc'][-1]}: {e['msg']}" for e in error.errors()[:5])
    if code == 500:
        return "an error in the server; its log says more"
    return str(getattr(error, "detail", error))
