"""Peak memory a rank, for few and for many samples.

`python -m benchmarks.memory [--samples 2000 20000] [--resolution 128] [--ranks 2]`

Runs the sample, order and solve stages under mpiexec in a fresh process each; a rank prints its
own peak resident size at its end. The many samples need about 0.27 MB of disk each at 128².
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import parser, report
from pipeline.launch import mpiexec_path, rank_environment

SPEC = Path(__file__).parents[1] / "examples" / "darcy.yaml"
CODE = """
import resource, sys
from pipeline.spec import load_spec
from pipeline import stages
from pipeline.stages.solve import world
comm = world()
stages.solve(load_spec(sys.argv[1], sys.argv[3:]), sys.argv[2], comm, quiet=True)
print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}", flush=True)
"""


def run(samples: int, resolution: int, ranks: int, place: str | None) -> tuple[float, float]:
    """Return the largest peak of a rank in MiB, and the seconds it took."""
    import os

    with tempfile.TemporaryDirectory(dir=place) as root:
        command = [str(mpiexec_path()), "-n", str(ranks), sys.executable, "-c", CODE]
        command += [str(SPEC), root, f"samples={samples}", f"mesh.resolution={resolution}"]
        command += ["storage.shard_size=64", "solve.strategy={ksp: cg, pc: icc}"]
        start = time.time()
        done = subprocess.run(
            command, capture_output=True, text=True, env=rank_environment(os.environ), check=True
        )
        peaks = [int(found) for found in re.findall(r"peak (\d+)", done.stdout)]
        assert len(peaks) == ranks, done.stdout + done.stderr
        return max(peaks) / 1024, time.time() - start


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--samples", type=int, nargs="+", default=[2000, 20_000])
    arguments.add_argument("--resolution", type=int, default=128)
    arguments.add_argument("--ranks", type=int, default=2)
    asked = arguments.parse_args()
    rows = []
    for samples in asked.samples:
        peak, seconds = run(samples, asked.resolution, asked.ranks, asked.place)
        rows.append({"samples": samples, "peak MiB a rank": peak, "seconds": seconds})
        print(rows[-1], flush=True)
    for row in rows:
        row["against the first"] = row["peak MiB a rank"] / rows[0]["peak MiB a rank"]
    report(
        "memory",
        rows,
        asked.results,
        asked.ranks,
        note=f"{asked.resolution}², shards of 64 samples",
    )


if __name__ == "__main__":
    main()
