"""The coarse spaces of a mesh hierarchy for systems with constrained dofs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = ["free_prolongations"]

SMALLEST = 200  # rows: no coarser level is made


def free_prolongations(
    prolongations: Sequence[Any], free: NDArray[np.bool_] | None
) -> list[sp.csr_matrix]:
    """Return prolongations whose functions vanish in all constrained dofs. Serial.

    A coarse dof that reaches into a constrained one is constrained too: its column goes, on every
    level. Rows of constrained dofs of the finest level stay, as zeros.

    Args:
        prolongations: CSR matrices from each level's dofs to the next finer one's, finest first.
        free: Mask of the finest level's free dofs; None: all are.
    """
    found: list[sp.csr_matrix] = []
    for P in prolongations:
        P = sp.csr_matrix(P)
        P.eliminate_zeros()
        kept = np.diff(P.tocsc().indptr) > 0
        if free is not None:
            kept[P[~free].indices] = False
        if not kept.any():
            break
        if found:
            P = P[free]
        found.append(P[:, kept])
        free = kept
        if kept.sum() <= SMALLEST:
            break
    return found
