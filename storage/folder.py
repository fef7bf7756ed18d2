"""The files of one data set: where everything is."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from storage import files

__all__ = ["FORMAT", "DataFolder", "batch_of"]

FORMAT = 1
_RECORD = re.compile(r"(\d{4,})-(\d{6,})\.json")


@dataclass(frozen=True)
class DataFolder:
    """Paths of a data set `<root>/<name>-<data key>/`; nothing is opened or created.

    Attributes:
        path: the folder of the data set.
    """

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    @property
    def manifest(self) -> Path:
        """`manifest.json`: rebuildable from the records."""
        return self.path / "manifest.json"

    @property
    def spaces(self) -> Path:
        """`spaces.h5`: mesh and spaces."""
        return self.path / "spaces.h5"

    @property
    def order(self) -> Path:
        """`order.h5`: segments of ids, features and paths."""
        return self.path / "order.h5"

    @property
    def runs(self) -> Path:
        """`runs/`: the full spec of every run."""
        return self.path / "runs"

    @property
    def shards(self) -> Path:
        """`shards/`: samples and the records that commit them."""
        return self.path / "shards"

    @property
    def locks(self) -> Path:
        """`locks/`: runs that are at work, while they are."""
        return self.path / "locks"

    @property
    def scalars(self) -> Path:
        """`scalars.h5`: numbers of every sample; derived."""
        return self.path / "scalars.h5"

    @property
    def previews(self) -> Path:
        """`previews/`: pictures."""
        return self.path / "previews"

    @property
    def training(self) -> Path:
        """`training/`: trained operators and reports."""
        return self.path / "training"

    def shard(self, segment: int, batch: int) -> Path:
        """The shard file of a batch."""
        return self.shards / f"{segment:04d}-{batch:06d}.h5"

    def record(self, segment: int, batch: int) -> Path:
        """The record of a batch, which commits it."""
        return self.shards / f"{segment:04d}-{batch:06d}.json"

    def batch_files(self, stem: str) -> list[Path]:
        """Files of the batch `<segment>-<batch>` that are there, whoever wrote them.

        The record first: without it the batch isn't committed.
        """
        found = [self.shards / f"{stem}.json", self.shards / f"{stem}.h5"]
        found += sorted(self.shards.glob(f"{stem}-*.h5"))
        return [path for path in found if os.path.lexists(path)]

    def create(self) -> None:
        """Make the folders a writer needs and clear away temporary files of dead writers."""
        for path in (self.path, self.shards, self.runs):
            files.make_folder(path)
        for path in (self.path, self.shards, self.runs, self.previews):
            files.remove_leftovers(path)

    def committed(self) -> set[tuple[int, int]]:
        """(segment, batch) of all committed batches, by name; no record is read."""
        try:
            names = os.listdir(self.shards)
        except (FileNotFoundError, NotADirectoryError):
            return set()
        found = filter(None, map(_RECORD.fullmatch, names))
        return {(int(match[1]), int(match[2])) for match in found}


def batch_of(name: str | Path) -> str:
    """Return `<segment>-<batch>` of the name of a record or a shard."""
    return "-".join(Path(name).stem.split("-")[:2])
