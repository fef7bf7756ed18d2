"""What a check found, and how a check that fails is a finding too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "damaged", "error", "guarded", "info", "one_line", "warning"]

_LONGEST = 400

type Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        severity: "error" is damage, "warning" wants a look, "info" is neither.
        code: stable name of the kind, such as `shard.checksum`.
        location: file, relative to the data set.
        message: one line.
    """

    severity: Severity
    code: str
    location: str
    message: str


def error(code: str, location: str, message: str) -> Finding:
    """Return a finding that is damage."""
    return Finding("error", code, location, one_line(message))


def warning(code: str, location: str, message: str) -> Finding:
    """Return a finding that wants a look."""
    return Finding("warning", code, location, one_line(message))


def info(code: str, location: str, message: str) -> Finding:
    """Return a finding that is no trouble."""
    return Finding("info", code, location, one_line(message))


def damaged(findings: list[Finding]) -> bool:
    """Whether one of them is damage."""
    return any(finding.severity == "error" for finding in findings)


def one_line(value: object) -> str:
    """Return a text, or what an exception says, on one line and not too long."""
    text = " ".join(str(value).split()) or type(value).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


@contextmanager
def guarded(findings: list[Finding], location: str) -> Iterator[None]:
    """Make whatever a check stumbles over a finding: damage has no end of forms."""
    try:
        yield
    except Exception as problem:
        text = f"could not be checked ({type(problem).__name__}: {one_line(problem)})"
        findings.append(error("check.failed", location, text))
