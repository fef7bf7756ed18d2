"""Screenshots of the flows' pages for the docs, of a real `rekrylov up` in a real Chromium.

`python -m benchmarks.flows_gallery [--out docs/images]`; takes some minutes, keeps nothing else.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.web_gallery import few_colours

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "flows"), str(ROOT / "tests" / "storage")]
from system import System  # noqa: E402
from web_server import FLAGS  # noqa: E402

CHANGES = ["samples=64", "mesh.resolution=24", "storage.shard_size=8", "train.epochs=20"]


def shoot(system: System, run: str, out: Path) -> None:
    """Take all pictures."""
    from playwright.sync_api import sync_playwright

    picture = system.artifacts(run)["samples"]["id"]
    form = system.deployment("generate/on-demand")["id"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport={"width": 1180, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(f"{system.base}/runs/flow-run/{run}")
        page.get_by_text("Finished in state").first.wait_for()
        save(page, out / "flows-run.png")
        page.goto(f"{system.base}/artifacts/artifact/{picture}")
        page.wait_for_function("[...document.images].some(i => i.naturalWidth > 300)")
        save(page, out / "flows-artifact.png", 620)
        page.goto(f"{system.base}/deployments/deployment/{form}/run")
        page.get_by_text("Spec", exact=True).first.click()
        page.get_by_text("Number of samples.").first.wait_for()
        page.evaluate(
            "[...document.querySelectorAll('*')].find("
            "e => e.textContent.trim() == 'Problem').scrollIntoView(true)"
        )
        save(page, out / "flows-form.png")
        browser.close()


def save(page: Any, file: Path, height: int = 900) -> None:
    """Save what is seen."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(2000)
    clip = {"x": 0, "y": 0, "width": 1180, "height": height}
    few_colours(page.screenshot(clip=clip)).save(file, optimize=True)
    print(f"{file}: {file.stat().st_size / 1e3:.0f} kB", flush=True)


def main() -> None:
    asked = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    arguments = asked.parse_args()
    with tempfile.TemporaryDirectory() as place:
        system = System(Path(place))
        try:
            spec = str(ROOT / "examples" / "darcy.yaml")
            run = system.start("generate/on-demand", spec=spec, overrides=CHANGES)
            system.wait(run, "COMPLETED")
            shoot(system, run, arguments.out)
        finally:
            system.stop()


if __name__ == "__main__":
    main()
