"""SPON on every example of `examples/`: one epoch, finite predictions, exact boundary values."""

import numpy as np
import pytest
from operator_cases import EXAMPLES, predict, solved_example

from pipeline.operators import TrainConfig, load_checkpoint, train
from storage import open_dataset

MESSAGES = {"kind": "messages", "width": 8, "layers": 2, "modes": 8}
SETTINGS = {
    "operator": {"kind": "spon", "processor": MESSAGES},
    "epochs": 1,
    "batch_size": 4,
    "controls": ["pod_ridge"],
    "tracking": ["csv"],
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_spon_learns_any_family(once, tmp_path, path):
    folder = once(path.stem, lambda folder: solved_example(path, folder))
    report = train(folder, TrainConfig.model_validate(SETTINGS), out_dir=tmp_path)
    assert np.isfinite(report.error()) and np.isfinite(report.error(norm="graph"))
    ds = open_dataset(folder)
    assert ("panel.png" in report.files) == (len(ds.inputs) > 0)
    operator = load_checkpoint(report.folder, ds).operator
    test = ds.split("test")
    found, truth = predict(operator, test), operator.task.truth(test, slice(0, 4))
    assert set(found) == set(ds.outputs)
    for name, u in found.items():
        assert u.shape == truth[name].shape and np.isfinite(u).all()
        field = ds.fields[name]
        fixed = np.asarray([] if field.constrained is None else field.constrained, np.int64)
        size = np.abs(truth[name]).max()
        assert np.abs(u - truth[name])[..., fixed].max(initial=0) <= 1e-12 * size
