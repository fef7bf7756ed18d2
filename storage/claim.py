"""What a run says of itself in `locks/`: who it is, when its turn is, which batches it solves."""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from storage import files
from storage.owner import Owner

__all__ = ["LONGEST", "Claim", "Key", "pack_runs"]

type Key = tuple[int, int]
type Run = tuple[int, int, int]

LONGEST = 86400.0
"""Seconds that a claim may ask to be waited for without a sign of life."""

_LARGEST = 1 << 22
_MOST_RUNS = 1000


@dataclass
class Claim:
    """What a run says: who it is, its number (None: it arrives), and (segment, first, last).

    `beat` is when its file was touched: a time of some clock, only looked at for being another one.
    """

    token: str
    owner: Owner
    seconds: float
    number: int | None
    runs: list[Run]
    beat: int = 0

    @classmethod
    def read(cls, path: Path) -> Claim:
        """Read the file of a run; raises OSError, DamagedFile or ValueError if it is none."""
        raw = files.read_json(path, _LARGEST)
        if not isinstance(raw, dict):
            raise ValueError("no claim")
        number = raw.get("number")
        if not (number is None or type(number) is int):
            raise ValueError("no number")
        owner, runs = Owner.parse(raw.get("owner")), _parse_runs(raw.get("batches"))
        beat = os.stat(path).st_mtime_ns
        return cls(path.stem, owner, _parse_seconds(raw.get("seconds")), number, runs, beat)

    def as_json(self) -> bytes:
        """The content of the file."""
        told = {
            "owner": asdict(self.owner),
            "seconds": self.seconds,
            "number": self.number,
            "batches": self.runs,
        }
        return json.dumps(told).encode()

    def overlaps(self, batches: list[Key]) -> bool:
        """Whether any of the batches, in ascending order, is in it."""
        for segment, first, last in self.runs:
            place = bisect_left(batches, (segment, first))
            if place < len(batches) and batches[place] <= (segment, last):
                return True
        return False


def pack_runs(batches: list[Key]) -> list[Run]:
    """Batches in ascending order as (segment, first, last); very many pieces as one a segment."""
    runs: list[Run] = []
    for segment, batch in batches:
        if runs and runs[-1][0] == segment and runs[-1][2] + 1 == batch:
            runs[-1] = (segment, runs[-1][1], batch)
        else:
            runs.append((segment, batch, batch))
    if len(runs) <= _MOST_RUNS:
        return runs
    ends: dict[int, Run] = {}
    for segment, first, last in runs:
        ends[segment] = (segment, ends.get(segment, (0, first, 0))[1], last)
    return list(ends.values())


def _parse_runs(raw: Any) -> list[Run]:
    runs = [tuple(run) for run in raw if isinstance(run, list)] if isinstance(raw, list) else []
    if not isinstance(raw, list) or len(runs) < len(raw) or not all(map(_is_run, runs)):
        raise ValueError("no batches")
    return runs


def _is_run(run: tuple[Any, ...]) -> bool:
    return len(run) == 3 and all(type(number) is int for number in run)


def _parse_seconds(raw: Any) -> float:
    if type(raw) not in (int, float) or not 0 < raw <= LONGEST:
        raise ValueError("no seconds")
    return float(raw)
