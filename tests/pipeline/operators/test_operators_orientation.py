"""The same functions on a renumbered, re-oriented mesh: the prediction is the same function.

Vertices, cells, and the order of vertices within cells are shuffled; dofs move, change sign, and
on the faces of N1curl2 and N2curl in 3-D mix. The same weights have to predict the same.
"""

import numpy as np
import pytest
from operator_cases import build, copy_weights, darcy, predict, renumbered, solved

MESSAGES = {"kind": "messages", "width": 8, "layers": 2, "modes": 6}


def curls(degree, **mesh):
    problem = {"family": "curl_curl", "reluctivity": LAW, "kappa": 10.0}
    problem |= {"current_x": "-sin(pi*y)", "current_y": "sin(pi*x)"}
    problem["output_space"] = {"family": "N1curl", "degree": degree}
    return {"name": "curls", "samples": 16, "seed": 1, "problem": problem, "mesh": mesh}


LAW = darcy(1, 1)["problem"]["coefficient"]
PLANE = {"domain": "unit_square", "resolution": 4}
SPACE = {"domain": "box", "resolution": [2, 2, 2]}
SPECS = {
    "RT1": {"flux_space": {"family": "RT", "degree": 1}},
    "RT2": {"flux_space": {"family": "RT", "degree": 2}},
    "BDM1": {"flux_space": {"family": "BDM", "degree": 1}},
}


def spec(name):
    if name in SPECS:
        problem = {"family": "darcy_mixed", "coefficient": LAW, "source": 1.0} | SPECS[name]
        return {"name": "mixed", "samples": 16, "seed": 1, "problem": problem, "mesh": PLANE}
    if name.startswith("N1curl"):
        return curls(int(name[6]), **(SPACE if name.endswith("3d") else PLANE))
    return darcy(16, 4, output_space={"family": "P", "degree": int(name[1])}) | {"mesh": PLANE}


PIOLA = ("RT1", "RT2", "BDM1", "N1curl1", "N1curl2")
KINDS = {
    "P2": {"kind": "spon", "processor": MESSAGES},
    "RT1": {"kind": "spon", "processor": MESSAGES},
    "RT2": {"kind": "spon", "processor": MESSAGES},
    "BDM1": {"kind": "spon", "processor": MESSAGES},
    "N1curl1": {"kind": "spon", "processor": MESSAGES},
    "N1curl2": {"kind": "spon", "processor": MESSAGES},
    "N1curl1-3d": {"kind": "spon", "processor": MESSAGES},
    "N1curl2-3d": {"kind": "spon", "processor": MESSAGES},
}


@pytest.mark.parametrize("name", KINDS)
def test_the_same_weights_predict_the_same_function(once, tmp_path, name):
    path = once(name, lambda folder: solved(spec(name), folder))
    other, maps = renumbered(path, tmp_path / "other")
    ds, plain = build(path, KINDS[name])
    ds2, shuffled = build(other, KINDS[name])
    copy_weights(plain, shuffled)
    before, after = predict(plain, ds), predict(shuffled, ds2)
    for field in plain.task.outputs:
        T = maps[field.space]
        if field.space in PIOLA:
            assert T.data.min() < 0 or T.nnz > T.shape[0]  # some dof did change its orientation
        u, mean = before[field.name][:, 0], plain.normalisation.outputs[field.name].mean
        moving = np.abs(u - mean).max()
        assert moving > 0
        np.testing.assert_allclose(after[field.name][:, 0], (T @ u.T).T, atol=2e-4 * moving)
