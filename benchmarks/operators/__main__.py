"""SPON-MG and MgNO against FNO, a GNN and POD + ridge, at equal budgets of time and parameters.

Every run is a process of its own with one thread; two go side by side. A run's budget is its
training time (steps and waiting for data, without validation). The data sets are made first.
Errors are relative, means over the test split and over seeds, with the range over seeds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml

from benchmarks.operators.cases import CASES, Case, Goal
from benchmarks.report import parser, report

type Results = dict[str, list[dict[str, Any]]]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--cases", nargs="*", default=[case.name for case in CASES])
    arguments.add_argument("--seconds", type=float, default=60.0, help="training time of a run")
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--jobs", type=int, default=2, help="runs side by side, one core each")
    given = arguments.parse_args()
    for case in CASES:
        if case.name not in given.cases:
            continue
        with TemporaryDirectory(dir=given.place) as place:
            results = run(case, make(case, Path(place)), given.seconds, given.seeds, given.jobs)
        note = "\n".join(verdict(goal, results) for goal in case.goals)
        rows = table(results)
        report(f"operators-{case.name}", rows, given.results, note=note)


def make(case: Case, place: Path) -> Path:
    """Make the data set, and return its folder."""
    spec = place / "spec.yaml"
    spec.write_text(yaml.safe_dump(case.spec))
    command = [sys.executable, "-m", "pipeline.cli", "run", str(spec), "--root", str(place)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return next(path.parent for path in place.glob("*/manifest.json"))


def run(case: Case, folder: Path, seconds: float, seeds: int, jobs: int) -> Results:
    """Train everything; label → results by seed."""
    plan = [(name, seed) for seed in range(1000, 1000 + seeds) for name in case.operators]

    def one(item: tuple[str, int]) -> dict[str, Any]:
        name, seed = item
        config = {
            "operator": case.operators[name],
            "seed": seed,
            "samples": case.train,
            "budget_seconds": seconds,
            "tracking": [],
            "controls": ["mean", "pod_ridge"] if item == plan[0] else [],
            **case.settings,
        }
        command = [
            sys.executable,
            "-m",
            "benchmarks.operators.one",
            str(folder),
            json.dumps(config),
        ]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise SystemExit(f"{name}, seed {seed}: {done.stderr[-2000:]}")
        print(f"{case.name}: {name}, seed {seed} done", file=sys.stderr, flush=True)
        return json.loads(done.stdout.splitlines()[-1])

    with ThreadPoolExecutor(jobs) as pool:
        found = list(pool.map(one, plan))
    results: Results = {name: [] for name in case.operators}
    for (name, _), result in zip(plan, found, strict=True):
        results[name].append(result | result["errors"][result["operator"]] | result["defects"])
    for name in ("pod_ridge", "mean"):
        results[name] = [found[0]["errors"][name]]
    return results


def table(results: Results) -> list[dict[str, Any]]:
    """A row an operator."""
    defects = sorted({key for runs in results.values() for key in runs[0].get("defects", {})})
    rows = []
    for name, runs in results.items():
        trained = "epochs" in runs[0]
        epochs = sorted({run["epochs"] for run in runs}) if trained else []
        row: dict[str, Any] = {"operator": name}
        row["parameters"] = runs[0]["parameters"] if trained else ""
        row["epochs"] = "–".join(map(str, dict.fromkeys([*epochs[:1], *epochs[-1:]])))
        for norm, title in (("l2", "L2 %"), ("graph", "graph norm %")):
            values = 100 * np.array([run[norm] for run in runs])
            spread = f" ({values.min():.3g}–{values.max():.3g})" if len(runs) > 1 else ""
            row[title] = f"{values.mean():.3g}{spread}"
        for key in defects:
            row[key] = max(run[key] for run in runs) if key in runs[0] else ""
        row["waiting %"] = 100 * max(run["waiting"] for run in runs) if trained else ""
        rows.append(row)
    return rows


def verdict(goal: Goal, results: Results) -> str:
    """The goal in words, and whether it was met."""
    said = []
    for norm in goal.norms:
        own = np.mean([run[norm] for run in results[goal.of]])
        if isinstance(goal.than, float):
            limits = {f"{goal.than:g}": goal.than}
        else:
            limits = {name: float(np.mean([r[norm] for r in results[name]])) for name in goal.than}
        for name, limit in limits.items():
            ratio = limit / max(own, 1e-300)
            met = "met" if ratio >= goal.factor else "MISSED"
            said.append(f"{met}: {norm} of {goal.of}, {own:.3g}, is {ratio:.3g}× below {name}")
    return f"- goal {goal.factor:.3g}× — " + "; ".join(said)


if __name__ == "__main__":
    main()
