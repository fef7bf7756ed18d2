"""The server's page in a real Chromium: a run, its artifacts, the form; nothing from elsewhere."""

import shutil
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "storage"))
from web_server import FLAGS  # noqa: E402

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: `make browser`"),
]


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(up, chromium):
    """Open a page of the server; a script's error, or a request elsewhere, fails the test."""
    context = chromium.new_context(viewport={"width": 1200, "height": 850})
    page, wrong = context.new_page(), []
    page.set_default_timeout(120_000)
    ours = (up.base, up.catalogue, f"blob:{up.base}", "data:")
    page.on("request", lambda r: None if r.url.startswith(ours) else wrong.append(r.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))

    def open_(path):
        page.goto(up.base + path)
        return page

    yield open_
    context.close()
    assert wrong == []


def shows(page, text):
    """Wait until a text is on the page."""
    page.get_by_text(text).first.wait_for()


def until(page, expression):
    end = time.monotonic() + 120
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(50)


def test_the_first_page_is_of_this_server_alone(visit):
    shows(visit("/"), "Deployments")


def test_the_page_of_a_run_has_its_state_and_the_ranks_lines(visit, scheduled):
    page = visit(f"/runs/flow-run/{scheduled['id']}")
    shows(page, "Completed")
    shows(page, "6 of 6 samples stored")
    page.get_by_text("Artifacts", exact=True).first.click()
    shows(page, "progress")


def test_artifacts_are_drawn(visit, up, scheduled):
    found = up.artifacts(scheduled["id"])
    shows(visit(f"/artifacts/artifact/{found['progress']['id']}"), "100%")
    page = visit(f"/artifacts/artifact/{found['shards']['id']}")
    shows(page, "6 Items")
    assert page.locator("tbody tr").count() == 6
    page = visit(f"/artifacts/artifact/{found['samples']['id']}")
    until(page, "[...document.images].some(i => i.naturalWidth > 300)")


def test_a_link_leads_to_the_page_of_the_data_set(visit, up, scheduled):
    page = visit(f"/artifacts/artifact/{up.artifacts(scheduled['id'])['summary']['id']}")
    page.get_by_role("link", name="Browse it").wait_for()
    address = page.get_by_role("link", name="Browse it").get_attribute("href")
    page.goto(address)
    assert page.locator("main h1").inner_text().startswith("tiny")
    until(
        page, "[...document.querySelectorAll('.shown picture img')].some(i => i.naturalWidth > 99)"
    )


def test_the_form_has_the_fields_of_the_spec(visit, up):
    deployment = up.deployment("generate/on-demand")
    page = visit(f"/deployments/deployment/{deployment['id']}/run")
    page.get_by_text("Spec", exact=True).first.click()
    shows(page, "Number of samples.")
    for family in ("Darcy", "Heat", "NavierStokes"):
        shows(page, family)
    shows(page, "Diffusivity eps")
    assert page.get_by_text("LogNormal", exact=True).count() > 1
