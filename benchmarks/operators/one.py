"""Train one operator on one data set and print what it does as a JSON line.

`python -m benchmarks.operators.one FOLDER CONFIG`, CONFIG the JSON of a `TrainConfig`.
"""

from __future__ import annotations

import json
import sys
import tempfile

from pipeline.operators import TrainConfig, load_checkpoint, train
from pipeline.operators.fe.flux import DivergenceConstraint
from pipeline.operators.validation.defects import measure
from storage import open_dataset


def main(folder: str, text: str) -> None:
    config = TrainConfig.model_validate_json(text)
    with tempfile.TemporaryDirectory() as out:
        report = train(folder, config, out_dir=out)
        dataset = open_dataset(folder)
        test = dataset.split("test")
        operator = load_checkpoint(out, dataset).operator
        given = operator.task.given(test, slice(None))
        predicted = operator.predict(given)
    every = measure(lambda rows: {k: v[rows] for k, v in predicted.items()}, test, operator.task)
    defects = {k: v for k, v in every.items() if k.startswith("boundary/")}
    for field in operator.task.outputs:  # div σ against f_h itself, not against stored fluxes
        if operator.task.space(field)["map_type"] == "contravariantPiola":
            flux = DivergenceConstraint.from_dataset(dataset.split("train"), field.name)
            defects[f"div/{field.name}"] = flux.defect(predicted[field.name][:, 0], given)
    found = {
        "parameters": report.parameters,
        "epochs": len(report.history.rows),
        "seconds": report.fit_seconds,
        "waiting": max(row["waiting"] for row in report.history.rows),
        "defects": {name: float(values.max()) for name, values in defects.items()},
        "errors": {
            name: {norm: float(e.mean()) for norm, e in score.errors.items()}
            for name, score in report.scores.items()
        },
        "operator": report.operator,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
