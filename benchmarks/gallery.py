"""Pictures of every problem family, from its example and through the real stages.

`python -m benchmarks.gallery [--families darcy stokes] [--samples 5] [--out docs/pictures]`
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import get_args

from pipeline.families import FAMILIES
from pipeline.run import run
from pipeline.spec import load_spec
from storage import open_dataset
from storage.pictures.preview import samples_picture

ROOT = Path(__file__).parents[1]
NAMES = [get_args(model.model_fields["family"].annotation)[0] for model in FAMILIES]
MORE = ["darcy_3d", "darcy_moving_hole"]  # examples that show what no family is named after
LARGEST = 150_000  # bytes of a picture in the repository


def example(name: str) -> Path:
    """The example of a family: `curl_curl` is `examples/curl-curl.yaml`."""
    return ROOT / "examples" / f"{name.replace('_', '-')}.yaml"


def picture(name: str, samples: int, out: Path) -> Path:
    """Draw the first samples of an example to `<out>/<name>.png`, fewer if it gets too large."""
    overrides = [f"samples={samples}", "train=null"]
    spec = load_spec(example(name), overrides)
    path = out / f"{name}.png"
    with tempfile.TemporaryDirectory() as root:
        dataset = open_dataset(run(spec, str(example(name)), root, 1, overrides)["folder"])
        for count in range(len(dataset), 0, -1):
            samples_picture(dataset, list(range(count)), path)
            if path.stat().st_size <= LARGEST:
                break
    return path


def main() -> None:
    asked = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked.add_argument("--families", nargs="+", choices=NAMES + MORE, metavar="NAME")
    asked.add_argument("--samples", type=int, default=5)
    asked.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures")
    arguments = asked.parse_args()
    for name in arguments.families or NAMES + MORE:
        if not example(name).exists():
            print(f"{name}: left out, {example(name)} is missing", flush=True)
            continue
        start = time.perf_counter()
        path = picture(name, arguments.samples, arguments.out)
        seconds = time.perf_counter() - start
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB, {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
