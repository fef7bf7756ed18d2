"""Synthetic data sets on the square without its upper right quarter."""

import numpy as np
import pytest
import synthetic

from storage import open_dataset


def make_l_shape(root, kind="scalar", **options):
    """A data set whose domain does not fill its box; its corner moves with "displacement"."""
    whole = synthetic.square_mesh

    def cut(m=4):
        mesh = whole(m)
        kept = (mesh["points"][mesh["cells"]].mean(axis=1) < 0.5).any(axis=1)
        return mesh | {"cells": mesh["cells"][kept], "original_cell_index": np.arange(kept.sum())}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "square_mesh", cut)
        return open_dataset(synthetic.make_dataset(root / "l", kind, **options))
