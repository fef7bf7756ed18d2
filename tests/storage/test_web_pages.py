"""Pages, pictures and the API of a running server, over data sets of every kind."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from synthetic import make_dataset
from web_server import running

from storage import open_dataset

EVIL = '<script>alert("x")</script>'
PROBLEM = {
    "family": "darcy",
    "description": f"−∇·(a ∇u) = f {EVIL} on `walls`",
    "strong": ["-Derivative(a(x, y)*u(x, y), x) - f", "__import__('os').abort()"],
    "weak": [{"where": EVIL, "integrand": "u(x, y)*v_u(x, y)"}],
    "boundary": [{"where": EVIL, "field": "u", "value": ["<b>"]}],
    "initial": [],
    "outputs": {"u": {"units": "m^2", "meaning": EVIL}},
    "symbols": {EVIL: {"units": EVIL, "meaning": EVIL, "law": {"law": EVIL}}},
}


def rename(folder, **change):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One data set of each kind, one with scripts wherever text can be, and one damaged."""
    root = tmp_path_factory.mktemp("web")
    for kind in ("mixed", "time", "displacement"):
        make_dataset(root, kind)
    evil = make_dataset(root / "tmp", "scalar", failed=(3, 17))
    evil = evil.rename(root / "evil<script>alert(1)<&'-0123456789")
    rename(evil, name=EVIL, problem=PROBLEM, licence=EVIL, citation=EVIL, spec={"seed": EVIL})
    run = evil / "training" / "spon-1234"
    run.mkdir(parents=True)
    text = f"# SPON\n\n{EVIL}\n\n| a | b |\n|---|---|\n| 1 | {EVIL} |\n\n![p](panel.png)\n"
    text += "![o](http://example.org/x.png) [l](javascript:alert(1)) ![t](../../manifest.json)\n"
    (run / "report.md").write_text(text)
    Image.new("RGB", (4, 4)).save(run / "panel.png")
    (run / "fake.png").write_text("<script>")
    damaged = make_dataset(root / "tmp", "scalar").rename(root / "damaged-0123456789")
    (damaged / "spaces.h5").write_bytes(b"nothing")
    torn = make_dataset(root / "tmp", "scalar").rename(root / "torn-0123456789")
    (torn / "manifest.json").write_text('{"format": 1')
    (root / "tmp").rmdir()
    return root


@pytest.fixture(scope="module")
def server(root):
    with running(root) as found:
        yield found


KINDS = ["mixed", "time", "displacement"]
EVIL_PATH = "/data/evil%3Cscript%3Ealert(1)%3C%26'-0123456789"


def test_the_list_has_all(server):
    page = server.text("/")
    assert "6 data sets" in page
    for kind in KINDS:
        assert f'href="/data/{kind}-0123456789"' in page
    assert page.count('class="status damaged"') >= 1
    assert "1 data set<" in server.text("/?q=mixed")
    assert "2 data sets" in server.text("/?q=status%3Ddamaged%20or%20name%3Dtime")
    status, _, body = server.get("/?q=nonsense%3E3")
    assert status == 400 and b"there is no" in body and b"Traceback" not in body


def test_facets_and_paging_are_links_and_forms(server):
    page = server.text("/?status=damaged")
    assert re.search(r'name="status" value="damaged" checked', page)
    assert "mixed-0123456789" not in page
    assert server.get("/?page=99999999")[0] == 200


@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_of_a_page_is_there(server, kind):
    page = server.text(f"/data/{kind}-0123456789?row=5&edges=1")
    assert "sample 5" in page
    found = re.findall(r'(?:src|srcset)="(/data/[^"]+)"', page)
    assert len(found) > 8
    for address in found:
        status, headers, body = server.get(address.replace("&amp;", "&"))
        assert status == 200, (address, body[:300])
        assert "immutable" in headers["cache-control"]
        if "svg" in headers["content-type"]:
            assert body.startswith(b"<?xml") and b"<script" not in body
        else:
            assert (
                len(np.unique(np.asarray(Image.open(io.BytesIO(body))))) > 8 or "edges" in address
            )


def test_pictures_differ_by_what_is_asked(server):
    base = "/data/time-0123456789/picture.png?field=u"
    asked = ["&row=3", "&row=4", "&row=3&step=0", "&row=3&theme=dark"]
    pictures = [server.get(base + more)[2] for more in asked]
    assert len(set(pictures)) == 4
    rest, moved = (
        server.get(f"/data/displacement-0123456789/edges.png{q}")[2] for q in ("", "?row=3")
    )
    assert rest != moved


def test_a_picture_is_sent_once(server):
    address = "/data/mixed-0123456789/picture.png?row=1&field=pressure"
    status, headers, _ = server.get(address)
    assert status == 200 and headers["cache-control"] == "no-cache"
    status, _, body = server.get(address, headers={"If-None-Match": headers["etag"]})
    assert status == 304 and body == b""


def test_the_sample_alone_is_what_the_page_has(server):
    part = server.text("/data/mixed-0123456789/sample?row=2")
    assert part.strip().startswith("<div") and part.strip() in server.text(
        "/data/mixed-0123456789?row=2"
    )
    assert "sample 23" in server.text("/data/mixed-0123456789/sample?row=999999")
    assert "sample 7" in server.text("/data/mixed-0123456789/sample?id=7")
    assert "is not stored" in server.text("/data/mixed-0123456789/sample?id=77")


def test_what_failed_is_told(server):
    page = server.text(EVIL_PATH)
    assert "Failed samples" in page and "made to fail" in page
    assert server.json(f"/api/datasets/{EVIL_PATH[6:]}/failures")["count"] == 2


def test_scripts_in_names_and_texts_are_text(server):
    for path in ("/", EVIL_PATH, f"{EVIL_PATH}/training/spon-1234", f"{EVIL_PATH}/failures"):
        page = server.text(path)
        assert re.findall(r"<script[^>]*>", page) == [
            next(
                iter(re.findall(r'<script type="module" src="/static/catalogue.js\?v=\w+">', page))
            )
        ]
        assert "alert" in page and "javascript:" not in re.sub(
            r"\[l\]\(javascript:[^)]*\)", "", page
        )


def test_reports_show_their_own_pictures_alone(server):
    page = server.text(f"{EVIL_PATH}/training/spon-1234")
    assert "<table>" in page and "http://example.org" not in page and "manifest.json" not in page
    (picture,) = re.findall(r'src="(/data/[^"]+panel.png[^"]*)"', page)
    assert server.get(picture)[0] == 200
    assert server.get(f"{EVIL_PATH}/training/spon-1234/fake.png")[0] == 404
    assert server.get(f"{EVIL_PATH}/training/spon-1234/report.md")[0] == 404


def test_damaged_data_sets_have_a_page_that_says_so(server):
    for name in ("damaged", "torn"):
        status, _, body = server.get(f"/data/{name}-0123456789")
        assert status == 422 and b"damaged" in body and b"rekrylov check" in body


def test_the_api_reads_what_is_stored(server, root):
    found = server.json("/api/datasets?q=time&limit=1")
    assert found["count"] == 1 and found["datasets"][0]["samples"] == 24
    assert server.json("/api/facets")["status"]
    dataset = open_dataset(root / "time-0123456789")
    base = "/api/datasets/time-0123456789"
    assert server.json(base)["steps"] == 5
    sample = server.json(f"{base}/samples/7")
    assert sample["id"] == 7 and len(sample["times"]) == int(dataset.read("times_mask", 7).sum())
    stored = np.load(io.BytesIO(server.get(f"{base}/samples/7/u.npy")[2]))
    assert np.array_equal(stored, dataset.read("u", 7), equal_nan=True)
    values = server.json(f"{base}/samples/4/u")
    assert values["shape"] == [5, 25] and values["values"][4][0] is None
    table = server.get(f"{base}/scalars.csv")[2].decode().splitlines()
    assert len(table) == 25 and table[0].startswith("id,")
    assert server.json(f"{base}/scalars?offset=20&limit=10")["id"] == [20, 21, 22, 23]
    assert server.json(f"{base}/shards")["count"] == 3
    assert server.get(f"{base}/samples/99")[0] == 404
    assert server.get(f"{base}/samples/7/nothing")[0] == 404


def test_the_api_describes_itself(server):
    schema, page = server.json("/api/openapi.json"), server.text("/api")
    assert len(schema["paths"]) >= 10
    for path, kinds in schema["paths"].items():
        assert set(kinds) == {"get"} and f"<code>{path}</code>" in page
