"""Every ```bash and ```python block of the README and the manual runs, in the order of the page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.M | re.S)


def environment(tmp_path):
    bin_ = Path(sys.executable).parent
    path = f"{bin_}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "page", [p for p in PAGES if BLOCK.search(p.read_text())], ids=lambda p: p.name
)
def test_the_commands_of_a_page_run(page, tmp_path):
    found = BLOCK.findall(page.read_text().replace("/tmp/", f"{tmp_path}/"))
    pieces = [text if kind == "bash" else f"python - <<'EOF'\n{text}EOF\n" for kind, text in found]
    script = "\n".join(["set -euo pipefail", *pieces])
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def test_the_spec_reference_is_current():
    from pipeline.spec_reference import reference

    assert reference().strip() in (ROOT / "docs" / "spec.md").read_text()


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)#:]+)\)", prose):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_catalogue_of_problems_is_current():
    from pipeline.family_reference import catalogue

    assert catalogue(ROOT / "examples").strip() in (ROOT / "docs" / "problems.md").read_text()
