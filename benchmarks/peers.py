"""The automatic strategy against every peer of PETSc and SciPy on the same systems.

`python -m benchmarks.peers [--cases darcy…] [--samples 64] [--quick]`

One core. A case is a spec of `examples/`, larger, on a seed that nothing was tuned with; samples
follow each other as on the sorted path through `--expected` samples. Systems are made once and
held; ours ("auto", with its pilot) and each peer solve them, 16 samples in turn. A peer that is
four times as slow as the fastest one on the same samples is stopped after three of them. Whole
samples, with assembly and writing, are compared for the cases whose goal speaks of them: those of
linear stationary problems. Newton's steps and time steps are recorded with MUMPS' solutions, so
everybody solves the same ones, peers sample by sample, ours 16 samples side by side.
"""

import fnmatch
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers_cases import CASES, QUICK, Case
from benchmarks.peers_tables import NOTES, all_rows, fastest, main_row, whole_row, write_docs
from benchmarks.report import parser, report
from pipeline.launch import launch_command

SEED = 20261  # used for nothing else
EXPECTED = 1000


def chosen(patterns: list[str] | None, quick: bool) -> list[Case]:
    """The cases whose names match; raises ValueError if a pattern matches none."""
    there = QUICK if quick else CASES
    if patterns is None:
        return list(there)
    for pattern in patterns:
        if not any(fnmatch.fnmatch(case.name, pattern) for case in there):
            names = ", ".join(case.name for case in there)
            raise ValueError(f"--cases {pattern}: matches none of {names}")
    return [c for c in there if any(fnmatch.fnmatch(c.name, p) for p in patterns)]


def run(case: Case, asked: Any) -> dict[str, Any] | None:
    """Race, then whole samples; None if a process failed, which is printed."""
    samples = asked.samples or case.samples
    job = {"case": case.name, "seed": asked.seed, "samples": samples, "expected": asked.expected}
    found = _process("benchmarks.peers_race", job, asked.wall)
    if found is None or case.whole is None or asked.no_whole:
        return found
    peer = fastest(found)
    if peer is None:
        return found
    job |= {"fixed": found["fixed"], "kind": found["kind"], "place": asked.place}
    parts = {
        side: _process("benchmarks.peers_sample", job | {"peer": name}, asked.wall)
        for side, name in (("ours", None), ("peer", peer["name"]))
    }
    return found | {"whole": parts | {"name": peer["name"]} if all(parts.values()) else None}


def _process(module: str, job: dict[str, Any], seconds: float) -> dict[str, Any] | None:
    """Run a module in a fresh process; what it wrote, None if it failed."""
    with tempfile.TemporaryDirectory() as place:
        source, target = Path(place) / "job.json", Path(place) / "out.json"
        source.write_text(json.dumps(job))
        command = [sys.executable, "-m", module, str(source), str(target)]
        code = launch_command(
            command,
            1,
            on_line=lambda line: print(line.rstrip(), flush=True),
            wall_seconds=seconds,
        )
        if code != 0 or not target.exists():
            print(f"FAILED, exit code {code}: {module} {job}", flush=True)
            return None
        return dict(json.loads(target.read_text()))


def measured(cases: list[Case], asked: Any) -> Iterator[tuple[Case, dict[str, Any]]]:
    """Yield what the cases found, as it comes; kept in `peers_found.json`."""
    kept = asked.results / "peers_found.json"
    asked.results.mkdir(parents=True, exist_ok=True)
    everything = []
    for case in cases:
        start = time.time()
        found = run(case, asked)
        if found is None:
            continue
        everything.append(found)
        kept.write_text(json.dumps(everything, indent=1) + "\n")
        row = main_row(case, found)
        shown = f"{row['ratio']:.2f} against {row['fastest peer']}, goal {row['goal']}"
        print(f"{case.name}: {shown}; {time.time() - start:.0f} s", flush=True)
        yield case, found


def main() -> None:
    """Run, print, write."""
    arguments = parser(__doc__)
    arguments.add_argument("--cases", nargs="+", metavar="NAME", help="patterns: 'darcy*'")
    arguments.add_argument("--samples", type=int, help="at least 48; default: the case's")
    arguments.add_argument("--seed", type=int, default=SEED)
    arguments.add_argument("--expected", type=int, default=EXPECTED, help="share what is paid once")
    arguments.add_argument("--quick", action="store_true", help="two tiny cases")
    arguments.add_argument("--no-whole", action="store_true", help="systems only")
    arguments.add_argument(
        "--docs", type=Path, help="write tables between the markers of this page"
    )
    arguments.add_argument("--wall", type=float, default=3600.0, help="seconds for one process")
    asked = arguments.parse_args()
    if asked.samples is not None and asked.samples < 48:
        arguments.error(f"--samples {asked.samples}: 16 are the pilot's, take at least 48")
    try:
        cases = chosen(asked.cases, asked.quick)
    except ValueError as error:
        arguments.error(str(error))
    found = list(measured(cases, asked))
    if not found:
        sys.exit("no case succeeded; see above")
    note = f"Seed {asked.seed}, {asked.expected} samples expected. "
    tables = {
        "peers": [main_row(*pair) for pair in found],
        "peers_whole": [whole_row(c, f) for c, f in found if f.get("whole")],
        "peers_all": [row for _, f in found for row in all_rows(f)],
    }
    for name, rows in tables.items():
        if rows:
            report(name, rows, asked.results, note=note + NOTES[name])
    if asked.docs:
        write_docs(asked.docs, tables, note)
    if len(found) < len(cases):
        sys.exit(f"{len(cases) - len(found)} of {len(cases)} cases failed; see above")


if __name__ == "__main__":
    main()
