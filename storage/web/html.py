"""Pages from templates: the environment of Jinja, with escaping on, and how values are written."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from storage.web import equations

__all__ = ["STATIC", "render", "static_version"]

_HERE = Path(__file__).parent
STATIC = _HERE / "static"


def render(
    request: Request,
    template: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """Return a page."""
    text = _environment().get_template(template).render(request=request, **values)
    return HTMLResponse(text, status, dict(headers or {}))


@cache
def static_version() -> str:
    """Hash of the files of `static/`, for addresses that never change their content."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "count": _count,
        "number": _number,
        "power": _power,
        "size": _size,
        "duration": _duration,
        "day": _day,
        "path": _path,
        "query": _query,
        "code": _code,
        "units": _units,
        "inline": _inline,
        "equation": _equation,
        "symbol": _symbol,
    }
    made.globals |= {"static": static_version}
    return made


def _day(text: Any) -> str:
    return str(text)[:10]


def _path(text: Any) -> str:
    return quote(str(text), safe="")


def _query(pairs: Any) -> str:
    return urlencode(list(pairs))


def _equation(text: Any, right: str | None = None) -> Markup:
    return Markup(equations.equation(str(text), right))


def _inline(text: Any) -> Markup:
    return Markup(equations.equation(str(text), block=False))


def _symbol(name: Any) -> Markup:
    return Markup(equations.symbol(str(name)))


def _units(text: Any) -> str:
    """m^2/s as m²/s."""
    return re.sub(r"\^(-?\d+)", _raised, str(text)).replace("degC", "°C")


def _code(text: Any) -> Markup:
    """A line in which `names` are set as code."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:
        return escape(str(text))
    pieces = [
        Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(parts)
    ]
    return Markup("").join(pieces)


def _raised(found: re.Match[str]) -> str:
    return found[1].translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _count(value: Any) -> str:
    """1 234 567, with thin spaces."""
    return f"{int(value):,}".replace(",", "\u202f")


def _number(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return f"{value:.4g}"


def _power(value: Any, digits: int = 0) -> str:
    """1.5e−8: a power of ten without its leading zero, on one line."""
    if value is None:
        return "–"
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa}e{int(exponent)}".replace("-", "−")  # which no line is broken after


def _size(value: Any) -> str:
    size = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _duration(value: Any) -> str:
    if value is None:
        return "–"
    seconds = float(value)
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
