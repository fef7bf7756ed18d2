"""Screenshots of the web catalogue for the docs, of example data sets in a real Chromium.

`python -m benchmarks.web_gallery [--root FOLDER] [--out docs/images]`; with a root that is kept,
data sets that are there are not made again.
"""

import argparse
import io
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from PIL import Image

from storage.pictures.drawing import MAPS

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "storage"))
from web_server import FLAGS, running  # noqa: E402

ROOT = Path(__file__).parents[1]
SETS = {
    "heat": 24,
    "elasticity": 24,
    "darcy-mixed": 24,
    "curl-curl": 24,
    "navier-stokes": 16,
    "darcy-3d": 24,
    "darcy-moving-hole": 48,
    "darcy": 256,
}
"""Examples and their samples; the last is the newest, on top of the list."""
SHOTS = {  # picture → data set, query of its page, size of the window, theme, what is on top
    "list": (None, "", (1180, 780), "light", None),
    "dataset": ("darcy-moving-hole", "row=5&edges=1", (1180, 1000), "light", None),
    "slices": ("darcy-3d", "row=9&axis=1&at=45&edges=1", (1180, 820), "light", "#samples"),
    "phone": ("darcy", "row=7", (380, 860), "light", None),
    "dark": ("navier-stokes", "row=3", (1180, 1000), "dark", None),
}


def make(root: Path) -> None:
    """Run the examples that are not there yet."""
    for name, samples in SETS.items():
        if not list(root.glob(f"{name}-" + "[0-9a-f]" * 10 + "/manifest.json")):
            options = ["--root", root, "--set", f"samples={samples}", "--set", "train=null"]
            command = [sys.executable, "-m", "pipeline.cli", "run", f"examples/{name}.yaml"]
            subprocess.run([*command, *map(str, options)], cwd=ROOT, check=True)


def few_colours(data: bytes) -> Image.Image:
    """The picture with a palette of the colour maps and the page's own colours: it is small."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    maps = [colormaps[name](np.linspace(0, 1, 84))[:, :3] for name in MAPS.values()]
    known = np.concatenate(maps) * 255
    pixels = np.asarray(image).reshape(-1, 3)[::7].astype(int)
    far = np.abs(pixels[:, None] - known[None].astype(int)).sum(axis=2).min(axis=1) > 30
    own, count = np.unique(pixels[far], axis=0, return_counts=True)
    colours = np.concatenate([known, own[np.argsort(-count)[:88]]])
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.round(colours).astype(np.uint8).tobytes())
    return image.quantize(palette=palette, dither=Image.Dither.NONE)


def shoot(address: str, root: Path, out: Path) -> None:
    """Take all pictures."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        for shot, (name, query, (width, height), theme, top) in SHOTS.items():
            path = ""
            if name is not None:
                (folder,) = root.glob(f"{name}-" + "[0-9a-f]" * 10)
                path = f"data/{folder.name}?{query}"
            size = {"width": width, "height": height}
            context = browser.new_context(viewport=size, color_scheme=theme)
            page = context.new_page()
            page.goto(f"{address}{path}")
            page.wait_for_load_state("networkidle")
            if top is not None:
                page.evaluate(f"document.querySelector('{top}').scrollIntoView(true)")
            page.wait_for_timeout(800)
            file = out / f"web-{shot}.png"
            few_colours(page.screenshot()).save(file, optimize=True)
            print(f"{file}: {file.stat().st_size / 1e3:.0f} kB", flush=True)
            context.close()
        browser.close()


def main() -> None:
    asked = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked.add_argument("--root", type=Path, help="of the data sets; one that goes by default")
    asked.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    arguments = asked.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = arguments.root or Path(place)
        make(root)
        with running(root) as server:
            shoot(server.address, root, arguments.out)


if __name__ == "__main__":
    main()
