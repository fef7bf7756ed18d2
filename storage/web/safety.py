"""Who may ask for what: one layer around the application, before any page sees a request."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

__all__ = ["COOKIE", "Guard", "is_loopback"]

type Scope = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Any]]
type Send = Callable[[Any], Awaitable[None]]

COOKIE = "rekrylov_token"
_LONGEST = 8_000  # bytes of a query
_PAGE = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_PICTURE = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address: `localhost`, 127.…, ::1."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """Lets GET and HEAD pass, from where they may come, and sets headers on what goes out.

    On a loopback address the Host header must be one as well: a page elsewhere can give its own
    name this address and would then read what is shown here. Elsewhere a token is demanded: once
    in the address, then in a cookie, or as a bearer token.

    Args:
        app: the application.
        token: that is demanded; None for none.
        loopback: whether the Host header has to be a loopback address.
    """

    def __init__(self, app: Any, token: str | None = None, loopback: bool = True) -> None:
        self._app, self._token, self._loopback = app, token, loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or refuse it."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return None
        sender = _sender(send)
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        refused = self._refusal(scope, headers)
        if refused is not None:
            return await _say(sender, *refused)
        if (query := self._told(scope)) is not None:
            return await _welcome(sender, scope, query, str(self._token))
        if not self._may(headers):
            text = "a token is needed: open the address that `rekrylov serve` printed"
            return await _say(sender, 401, text, {"www-authenticate": "Bearer"})
        if scope["method"] == "HEAD":  # uvicorn leaves the body away
            scope = dict(scope) | {"method": "GET"}
        return await self._app(scope, receive, sender)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[Any, ...] | None:
        if self._loopback and not is_loopback(_host(headers.get("host", ""))):
            return 421, "this server answers to 127.0.0.1 and localhost only"
        if scope["method"] not in ("GET", "HEAD"):
            return 405, "only GET and HEAD: nothing can be changed here", {"allow": "GET, HEAD"}
        if len(scope.get("query_string", b"")) > _LONGEST:
            return 414, "the address is too long"
        return None

    def _told(self, scope: Scope) -> list[tuple[str, str]] | None:
        """The rest of the query if it holds the right token."""
        if self._token is None or b"token=" not in scope["query_string"]:
            return None
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in pairs if name == "token"]
        if not given or not self._equal(given[0]):
            return None
        return [(name, value) for name, value in pairs if name != "token"]

    def _may(self, headers: dict[str, str]) -> bool:
        if self._token is None:
            return True
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._equal(bearer.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and self._equal(cookie.value)

    def _equal(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), str(self._token).encode())


def _host(header: str) -> str:
    """The host of a Host header, without its port."""
    if header.startswith("["):
        return header.partition("]")[0][1:]
    return header.rpartition(":")[0] or header if header.count(":") == 1 else header


def _sender(send: Send) -> Send:
    """Add headers to what is sent."""

    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = [(k.lower(), v) for k, v in message.get("headers", [])]
            kinds = [v for k, v in headers if k == b"content-type"]
            names = {k for k, _ in headers}
            policy = _PICTURE if kinds and kinds[0].startswith(b"image/") else _PAGE
            extra = _HEADERS | {"content-security-policy": policy, "cache-control": "no-cache"}
            headers += [
                (k.encode(), v.encode()) for k, v in extra.items() if k.encode() not in names
            ]
            message = {**message, "headers": headers}
        await send(message)

    return sent


async def _say(send: Send, status: int, text: str, headers: dict[str, str] | None = None) -> None:
    body = f"{text}\n".encode()
    told = {"content-type": "text/plain; charset=utf-8", "content-length": str(len(body))}
    pairs = [(k.encode(), v.encode()) for k, v in (told | (headers or {})).items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


async def _welcome(send: Send, scope: Scope, query: list[tuple[str, str]], token: str) -> None:
    """Put the token into a cookie, and lead to the same address without it."""
    path = "/" + scope.get("raw_path", scope["path"].encode()).decode("latin-1").lstrip("/\\")
    where = path + (f"?{urlencode(query)}" if query else "")
    cookie = f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax"
    await _say(send, 303, "welcome", {"location": where, "set-cookie": cookie})
