"""The catalogue in a real Chromium: with and without JavaScript, on a phone, by keyboard."""

import json
import shutil
import time

import pytest
from synthetic import make_dataset
from web_server import FLAGS, running

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: `make browser`")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("browser")
    for kind, family in (("scalar", "darcy"), ("time", "heat"), ("mixed", "stokes")):
        path = make_dataset(root, kind) / "manifest.json"
        text = ["-Derivative(a(x, y)*Derivative(u(x, y), x), x) - f"]
        problem = {"family": family, "dimension": 2, "strong": text, "symbols": {}, "outputs": {}}
        path.write_text(json.dumps(json.loads(path.read_text()) | {"problem": problem}))
    with running(root) as found:
        yield found


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(server, chromium):
    """Open a page; anything that fails to load, or is said on the console, fails the test."""
    contexts, wrong = [], []

    def open_(path, **options):
        context = chromium.new_context(**({"viewport": {"width": 1200, "height": 800}} | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda m: wrong.append(m.text))
        page.on("pageerror", lambda e: wrong.append(str(e)))
        page.on("response", lambda r: wrong.append(r.url) if r.status >= 400 else None)
        page.on("request", lambda r: None if r.url.startswith(server.base) else wrong.append(r.url))
        page.goto(server.base + path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []


def until(page, expression):
    """Wait until it is true; Playwright's own way is to `eval` in the page, which may not."""
    end = time.monotonic() + 30
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(30)


def drawn(page):
    """Wait until the pictures of the sample are there; their addresses."""
    until(
        page,
        "[...document.querySelectorAll('.shown picture img')].every(i => i.naturalWidth > 100)",
    )
    return page.eval_on_selector_all(".shown picture img", "all => all.map(i => i.currentSrc)")


def test_the_list_narrows_without_a_reload(visit):
    page = visit("/")
    page.evaluate("window.same = true")
    assert page.locator(".set").count() == 3
    page.check("input[name=family][value=heat]")
    until(page, "document.querySelectorAll('.set').length == 1")
    assert "family=heat" in page.url and page.locator(".set h2 a").inner_text() == "time"
    assert page.evaluate("document.activeElement.value") == "heat", "the focus stays"
    page.check("input[name=family][value=darcy]")
    until(page, "document.querySelectorAll('.set').length == 2")
    page.go_back()
    until(page, "document.querySelectorAll('.set').length == 1")
    assert page.evaluate("window.same")


def test_search_shows_while_one_types(visit):
    page = visit("/")
    page.keyboard.press("/")
    page.keyboard.type("family=stokes")
    until(page, "document.querySelectorAll('.set').length == 1")
    assert page.locator(".set h2 a").inner_text() == "mixed"
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=family%3Dstokes")
    assert page.locator(".search input").input_value() == "family=stokes"


def test_the_slider_draws_other_samples(visit):
    page = visit("/data/scalar-0123456789")
    first = drawn(page)
    slider = page.locator("input[name=row]")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    until(page, "document.querySelector('.steps b').textContent == 'sample 3'")
    assert "row=3" in page.url and set(drawn(page)).isdisjoint(first)
    assert slider.get_attribute("aria-valuetext") == "sample 3"
    page.locator("a[rel=next]").click()
    until(page, "document.querySelector('.steps b').textContent == 'sample 4'")
    assert page.evaluate("document.activeElement.rel") == "next"
    page.keyboard.press("ArrowLeft")
    until(page, "document.querySelector('.steps b').textContent == 'sample 3'")
    page.fill("input[name=id]", "20")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('.steps b').textContent == 'sample 20'")
    assert slider.input_value() == "20"


def test_edges_and_fields_are_chosen(visit):
    page = visit("/data/scalar-0123456789")
    drawn(page)
    assert not page.locator("img.edges").first.is_visible()
    page.check("input[name=edges]")
    until(page, "document.querySelector('img.edges').naturalWidth > 100")
    assert page.locator("img.edges").first.is_visible()
    over, under = (
        page.locator(s).first.bounding_box() for s in ("img.edges", ".stack picture img")
    )
    assert over == under
    page.uncheck("input[name=field][value=a]")
    until(page, "document.querySelectorAll('.shown figure').length == 1")


def test_time_has_a_slider(visit):
    page = visit("/data/time-0123456789?row=3")
    last = drawn(page)
    steps = page.locator("input[name=step]")
    assert int(steps.get_attribute("max")) == int(steps.input_value()) == 4
    steps.focus()
    page.keyboard.press("Home")
    until(page, "[...document.querySelectorAll('.facts span')].some(e => e.textContent == 't = 0')")
    assert drawn(page) != last


def test_equations_are_set_and_plots_load(visit):
    page = visit("/data/scalar-0123456789")
    box = page.locator("math mfrac").first.bounding_box()
    assert box["height"] > 15
    page.locator("#statistics").scroll_into_view_if_needed()
    until(page, "[...document.querySelectorAll('#statistics img')].at(0).naturalWidth > 50")


def test_dark_mode_has_its_own_pictures(visit):
    page = visit("/data/scalar-0123456789", color_scheme="dark")
    assert all("theme=dark" in address for address in drawn(page))
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(n) for n in ground[4:-1].split(",")) < 60
    page = visit("/data/scalar-0123456789", color_scheme="light")
    assert all("theme=light" in address for address in drawn(page))


@pytest.mark.parametrize(
    "path", ["/", "/data/time-0123456789", "/api", "/data/mixed-0123456789/shards"]
)
def test_a_phone_needs_no_sideways_scrolling(visit, path):
    page = visit(path, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = page.eval_on_selector_all(
        "main a, button", "all => all.filter(e => e.offsetParent && e.offsetHeight < 15).length"
    )
    assert small == 0


def test_lists_and_samples_work_without_scripts(visit):
    page = visit("/", java_script_enabled=False)
    page.check("input[name=family][value=heat]")
    page.get_by_role("button", name="Apply").click()
    assert page.locator(".set").count() == 1 and "family=heat" in page.url
    page.locator(".set h2 a").click()
    page.get_by_role("link", name="next sample").click()
    assert page.locator(".steps b").inner_text() == "sample 1"
    page.fill("input[name=id]", "9")
    page.get_by_role("button", name="Show").click()
    assert page.locator(".steps b").inner_text() == "sample 9"
    page.check("input[name=edges]")
    assert page.locator("img.edges").first.is_visible()


def test_a_keyboard_reaches_all_of_it(visit):
    page = visit("/data/scalar-0123456789")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    assert page.locator(".skip").bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    seen = []
    for _ in range(30):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.name || document.activeElement.rel"))
    assert {"row", "id", "field", "edges"} <= set(seen)
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "what has the focus is seen"


def test_everything_has_a_name(visit):
    for path in ("/", "/data/time-0123456789"):
        page = visit(path)
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll('input:not([type=hidden]), select, button')]
            .filter(e => !e.labels?.length && !e.getAttribute('aria-label') && !e.textContent)
            .length"""
        )
        assert unnamed == 0
        assert page.locator("main h1").count() == 1
        assert (
            page.eval_on_selector_all("img", "all => all.filter(i => !i.hasAttribute('alt'))") == []
        )
        assert page.locator("html").get_attribute("lang") == "en" and page.title()


def test_nothing_moves_for_those_who_ask(visit):
    page = visit("/", reduced_motion="reduce")
    style = "getComputedStyle(document.querySelector('.search button')).transitionDuration"
    assert page.evaluate(style) == "0s"
