"""Who may ask for what: hosts, tokens, methods, paths; and 700 odd requests without a 500."""

import os
import random
import socket
from urllib.parse import quote

import pytest
from synthetic import make_dataset
from web_server import running

from storage.web.safety import is_loopback

SECRET = b"the secret outside of the root"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two data sets, links that lead out of the root, and a secret beside it."""
    above = tmp_path_factory.mktemp("safe")
    root = above / "root"
    (above / "secret.txt").write_bytes(SECRET)
    folder = make_dataset(root, "scalar", failed=(2,))
    make_dataset(root, "time")
    outside = make_dataset(above / "outside", "mixed")
    (root / "linked-0123456789").symlink_to(outside)
    run = folder / "training" / "spon-1"
    run.mkdir(parents=True)
    (run / "report.md").write_text("# report")
    (run / "secret.png").symlink_to(above / "secret.txt")
    (folder / "training" / "away").symlink_to(above)
    (folder / "previews").mkdir(exist_ok=True)
    (folder / "previews" / "thumbnail.png").symlink_to(above / "secret.txt")
    (folder / "report.md").write_bytes(SECRET)
    (root / "loose.txt").write_bytes(SECRET)
    return root


@pytest.fixture(scope="module")
def server(root):
    before = sorted(str(path) for path in root.rglob("*"))
    with running(root) as found:
        yield found
    assert sorted(str(path) for path in root.rglob("*")) == before, "it wrote into the root"


def test_other_hosts_are_turned_away(server):
    assert server.get("/")[0] == 200
    for host in (
        "evil.example",
        "127.0.0.1.evil.example",
        "evil.example:80",
        "",
        "[::2]",
        "0.0.0.0",
    ):
        assert server.get("/", headers={"Host": host})[0] == 421, host
    for host in ("localhost", f"localhost:{server.port}", "127.0.0.1", "[::1]:80"):
        assert server.get("/", headers={"Host": host})[0] == 200, host


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "XYZ"])
def test_nothing_but_reading(server, method):
    status, headers, _ = server.get("/", method)
    assert status == 405 and headers["allow"] == "GET, HEAD"


def test_head_is_get_without_the_body(server):
    for path in ("/", "/data/scalar-0123456789", "/static/style.css", "/nothing"):
        got, asked = server.get(path), server.get(path, "HEAD")
        assert asked[0] == got[0] and asked[2] == b""
        assert asked[1]["content-length"] == got[1]["content-length"]


def test_headers_of_every_answer(server):
    paths = ["/", "/nothing", "/data/time-0123456789/thumbnail.png", "/static/catalogue.js", "/api"]
    for path in [*paths, "/api/datasets", "/data/time-0123456789/plot.svg?name=id"]:
        _, headers, _ = server.get(path)
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'") and "frame-ancestors 'none'" in policy
        assert "unsafe-eval" not in policy and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers


TRAVERSAL = [
    "..",
    "../..",
    "%2e%2e",
    "%2e%2e%2f",
    "..%2f..",
    "..%5c",
    "%252e%252e",
    ".",
    "//",
    "%00",
]
TRAVERSAL += [
    "linked-0123456789",
    "loose.txt",
    ".catalogue",
    "scalar-0123456789%2f..%2f..",
    "%c0%ae",
]


@pytest.mark.parametrize("name", TRAVERSAL)
def test_no_path_leads_out_of_the_root(server, name):
    for path in (f"/data/{name}", f"/data/{name}/secret.txt", f"/static/{name}/app.py"):
        status, _, body = server.get(path)
        assert status in (400, 404, 405), (path, status)
        assert SECRET not in body
    for more in ("thumbnail.png", "shards", "picture.png?field=u", "training/away", "training/.."):
        assert SECRET not in server.get(f"/data/{name}/{more}")[2]


@pytest.mark.parametrize(
    "path",
    [
        "training/away",
        "training/away/secret.txt",
        "training/spon-1/secret.png",
        "training/spon-1/..%2f..%2f..%2fsecret.txt",
        "training/..",
        "training/../../..",
        "thumbnail.png",
        "manifest.json",
        "shards/0000-000000.h5",
    ],
)
def test_nothing_beside_the_known_files_is_given(server, path):
    status, _, body = server.get(f"/data/scalar-0123456789/{path}")
    assert status in ((200,) if path == "thumbnail.png" else (404, 422)) and SECRET not in body


def test_elsewhere_a_token_is_needed(root):
    with running(root, "--host", "0.0.0.0") as server:
        token = server.query.removeprefix("token=")
        assert len(token) >= 32
        for path in (
            "/",
            "/api/datasets",
            "/static/style.css",
            f"/?token={token[1:]}{token[0]}",
            "/?token=",
        ):
            assert server.get(path)[0] == 401, path
        assert server.get("/", headers={"Host": "anything.example"})[0] == 401
        status, headers, _ = server.get(f"/data/time-0123456789?row=2&token={token}")
        assert (status, headers["location"]) == (303, "/data/time-0123456789?row=2")
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite" in cookie
        pair = cookie.partition(";")[0]
        assert server.get("/", headers={"Cookie": f"a=b; {pair}"})[0] == 200
        assert server.get("/", headers={"Cookie": f"{pair}x"})[0] == 401
        assert server.get("/", headers={"Authorization": f"Bearer {token}"})[0] == 200
        assert server.get("/", headers={"Authorization": f"Basic {token}"})[0] == 401
        status, headers, _ = server.get(f"//evil.example/?token={token}")
        assert headers["location"] == "/evil.example/"
        status, headers, _ = server.get(f"/\\evil.example/?token={token}")
        assert headers["location"] == "/evil.example/"


def test_what_is_loopback():
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]"]))
    others = ["0.0.0.0", "192.168.0.1", "localhost.evil", "", "::", "127.0.0.1.nip.io"]
    assert not any(map(is_loopback, others))


def test_a_bad_place_is_a_clean_error(tmp_path):
    from storage.errors import StorageError
    from storage.web.app import serve

    with pytest.raises(StorageError, match="is no folder"):
        serve(tmp_path / "nothing")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(StorageError):
        serve(tmp_path, port=taken.getsockname()[1])


WORDS = ["", "0", "-1", "1e9", "99999999999999999999999", "nan", "u", "a", "light", "..", "'", '"']
WORDS += [
    "<b>",
    "\x00",
    "é",
    "%",
    "a" * 3000,
    "samples>1",
    "samples>",
    "((",
    "name~%",
    "mu",
    "true",
]
PLACES = ["scalar-0123456789", "time-0123456789", "nix", "linked-0123456789"]
PARTS = ["", "/sample", "/picture.png", "/edges.png", "/plot.svg", "/thumbnail.png", "/shards"]
PARTS += ["/failures", "/training/spon-1", "/comparison/x", "/training/spon-1/p.png", "/x"]
KEYS = ["q", "sort", "page", "row", "id", "step", "axis", "at", "field", "theme", "kind", "name"]
KEYS += ["v", "edges", "family", "dimension", "status", "limit", "offset", "token"]
APIS = ["/scalars", "/scalars.csv", "/shards", "/failures", "/samples/3", "/samples/3/u"]
APIS += ["/samples/-1", "/samples/x/u.npy", "/samples/1/u.npy", "/samples/3/times", ""]


def odd_path(rng):
    """A path that somebody might try."""
    kind = rng.random()
    if kind < 0.15:
        return "/" + "".join(rng.choice("abc/.%?&=#;~\\<>'\"0") for _ in range(rng.randrange(30)))
    if kind < 0.25:
        return rng.choice(["/", "/api", "/api/datasets", "/api/facets", "/static/style.css"])
    place = rng.choice(PLACES) if rng.random() < 0.9 else quote(rng.choice(WORDS), safe="")
    if kind < 0.5:
        return f"/api/datasets/{place}{rng.choice(APIS)}"
    return f"/data/{place}{rng.choice(PARTS)}"


def test_odd_requests_never_break_it(server):
    rng = random.Random(6)
    seen = {}
    for _ in range(700):
        path = odd_path(rng)
        pairs = [(rng.choice(KEYS), rng.choice(WORDS)) for _ in range(rng.randrange(5))]
        if pairs and "?" not in path:
            path += "?" + "&".join(f"{k}={quote(v, safe='')}" for k, v in pairs)
        path = path.replace("#", "").replace(" ", "")
        status, _, body = server.get(path.encode("ascii", "replace").decode())
        assert status < 500, (path, status, body[:300])
        assert b"Traceback" not in body and SECRET not in body, path
        seen[status] = seen.get(status, 0) + 1
    assert seen[200] > 100 and seen[404] > 100, seen
    assert server.get("/")[0] == 200


def test_raw_bytes_never_break_it(server):
    rng = random.Random(7)
    for data in (
        b"\x00" * 50,
        os.urandom(300),
        b"GET / HTTP/9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
    ):
        with socket.create_connection((server.host, server.port), timeout=5) as link:
            link.sendall(data + bytes(rng.randrange(256) for _ in range(20)) + b"\r\n\r\n")
            link.settimeout(5)
            assert b" 500 " not in link.recv(200)
    assert server.get("/")[0] == 200
