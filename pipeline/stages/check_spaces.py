"""Are mesh and tables in `spaces.h5` those that the spec makes?"""

from typing import Any

import numpy as np

from pipeline.spaces import spaces_tree
from pipeline.spec import Spec
from storage import DataFolder, Finding, read_spaces, spaces_hash, tree_hash
from storage.checks.finding import error, warning

__all__ = ["check_spaces"]

_WHERE = "spaces.h5"
_ROUNDING = 1e-9
_SOME = 5


def check_spaces(spec: Spec, folder: DataFolder) -> list[Finding]:
    """Make the tree of `spaces.h5` again and compare, up to rounding errors. Serial.

    Another mesh is a warning: another version of gmsh may make one, and the residuals are
    computed on the stored mesh. Other tables on the same mesh are damage.
    """
    made = spaces_tree(spec)
    if tree_hash(made) == spaces_hash(folder.spaces):
        return []
    stored = read_spaces(folder.spaces)
    apart = sorted(_differences(made, stored, ""))
    mesh = [path for path in apart if path.startswith("/mesh/")]
    if mesh:
        text = f"is of another mesh than the spec makes here: {', '.join(mesh[:_SOME])}"
        return [warning("spaces.mesh", _WHERE, text)]
    if apart:
        text = f"tables are not those of its mesh: {', '.join(apart[:_SOME])}"
        return [error("spaces.tables", _WHERE, text)]
    return []


def _differences(made: Any, stored: Any, path: str) -> list[str]:
    """Paths at which two trees differ."""
    if isinstance(made, dict) and isinstance(stored, dict):
        names = sorted(set(made) | set(stored))
        return [
            found
            for name in names
            for found in _differences(made.get(name), stored.get(name), f"{path}/{name}")
        ]
    if hasattr(made, "indptr") and hasattr(stored, "indptr"):
        alike = made.shape == stored.shape and _close((made - stored).data, 0.0, _size(made.data))
    elif isinstance(made, np.ndarray) and isinstance(stored, np.ndarray):
        alike = made.shape == stored.shape and _close(made, stored, _size(made))
    elif isinstance(made, np.ndarray) or isinstance(stored, np.ndarray):
        alike = False
    else:
        alike = _plain(made) == _plain(stored)
    return [] if alike else [path]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return tuple(np.array(value).tolist()) if isinstance(value, list | tuple) else value


def _size(values: Any) -> float:
    return float(np.max(np.abs(values), initial=0.0)) or 1.0


def _close(a: Any, b: Any, size: float) -> bool:
    if np.asarray(a).dtype.kind in "biu":
        return bool(np.array_equal(a, np.broadcast_to(b, np.shape(a))))
    return bool(np.max(np.abs(np.asarray(a) - b), initial=0.0) <= _ROUNDING * size)
