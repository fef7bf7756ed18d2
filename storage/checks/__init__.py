"""Is a data set sound? Whatever was done to its files is found and named by a code.

`docs/check.md` says what is looked at; the codes are listed in `docs/format.md`.
"""

from storage.checks.dataset import CheckReport, check_dataset, examine
from storage.checks.finding import Finding
from storage.checks.shard import Recomputed

__all__ = ["CheckReport", "Finding", "Recomputed", "check_dataset", "examine"]
