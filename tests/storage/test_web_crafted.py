"""Folders made to block or exhaust whoever looks at a root: FIFOs, devices, monstrous headers."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import h5py
import pytest
import uvicorn
from synthetic import make_dataset
from web_server import ROOT, running


def fifo(name):
    def craft(folder):
        path = folder / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        os.mkfifo(path)

    return craft


def device(name):
    def craft(folder):
        path = folder / name
        path.unlink(missing_ok=True)
        path.symlink_to("/dev/zero")

    return craft


def sparse_manifest(folder):
    with open(folder / "manifest.json", "wb") as file:
        file.truncate(1 << 30)


def sparse_record(folder):
    (folder / "manifest.json").unlink()
    with open(folder / "shards" / "0000-000000.json", "wb") as file:
        file.truncate(1 << 30)


def many_small_lists(folder):
    (folder / "manifest.json").write_bytes(b"[" + b"[]," * 40_000_000 + b"0]")


def deep(folder):
    (folder / "manifest.json").write_bytes(b'{"shards": [], "spec":' + b"[" * 500_000)


def huge_number(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"rtol": 10**4000, "samples": 10**4000, "spec": {"samples": 10**4000}}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def claimed_order(folder):
    (folder / "order.h5").unlink()
    with h5py.File(folder / "order.h5", "w") as file:
        file.create_dataset("segments/0000/ids", (1 << 36,), "i8", chunks=(1 << 16,))


def claimed_batches(folder):
    (folder / "order.h5").unlink()
    with h5py.File(folder / "order.h5", "w") as file:
        file.create_dataset("segments/0000/offsets", (1 << 36,), "i8", chunks=(1 << 16,))


def claimed_scalars(folder):
    with h5py.File(folder / "scalars.h5", "a") as file:
        place = [str(name) for name in file.attrs["names"]].index("iterations")
        del file[f"{place:04d}"]
        file.create_dataset(f"{place:04d}", (1 << 36,), "i4", chunks=(1 << 16,))


def claimed_record(folder):
    (folder / "manifest.json").unlink()
    path = folder / "shards" / "0000-000000.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ids": [[0, 90_000_000]]}))


def claimed_shards(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    for shard in manifest["shards"]:
        shard["ids"] = [[0, 90_000_000]]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def long_spec(folder):
    (folder / "manifest.json").unlink()
    (folder / "runs" / "a.yaml").write_text("a: " + "[" * 900_000)


CRAFTED = {f"fifo-{name}": fifo(name) for name in ("manifest.json", "order.h5", "scalars.h5")}
CRAFTED |= {"fifo-spaces": fifo("spaces.h5"), "fifo-check": fifo("check.json")}
CRAFTED |= {f"device-{name}": device(name) for name in ("manifest.json", "order.h5", "check.json")}
CRAFTED |= {"device-thumbnail": device("previews/thumbnail.png")}
CRAFTED |= {"fifo-record": fifo("shards/0000-000000.json"), "fifo-run": fifo("runs/a.yaml")}
CRAFTED |= {
    f.__name__: f
    for f in (sparse_manifest, sparse_record, deep, huge_number, many_small_lists, long_spec)
}
CRAFTED |= {f.__name__: f for f in (claimed_order, claimed_batches, claimed_scalars)}
CRAFTED |= {f.__name__: f for f in (claimed_record, claimed_shards)}
NO_MANIFEST = ("fifo-record", "fifo-run")


def crafted(root, kind):
    folder = make_dataset(root / "tmp", "scalar").rename(root / f"{kind}-0123456789")
    (folder / "previews").mkdir(exist_ok=True)
    if kind in NO_MANIFEST:
        (folder / "manifest.json").unlink()
    CRAFTED[kind](folder)
    (root / "tmp").rmdir()
    return folder


LOOK = """
import resource, sys
from pathlib import Path
from storage import DataFolder
from storage.catalogue import summarise
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
for folder in sorted(Path(sys.argv[1]).iterdir()):
    print(folder.name[:-11], summarise(DataFolder(folder)).status, flush=True)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("crafted")
    for kind in CRAFTED:
        crafted(root, kind)
    return root


def test_no_crafted_folder_blocks_or_exhausts_the_index(root):
    process = subprocess.Popen(
        [sys.executable, "-c", LOOK, str(root)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        told, wrong = process.communicate(timeout=40)
    except subprocess.TimeoutExpired:
        process.kill()
        told, wrong = process.communicate()
    found = dict(line.split() for line in told.splitlines())
    assert set(found) == set(CRAFTED), wrong[-1500:]
    assert set(found.values()) <= {"damaged", "complete", "unfinished", "incomplete"}


def test_a_server_shows_what_it_can_of_crafted_folders(root):
    make_dataset(root, "time")
    with running(root) as server:
        until = time.monotonic() + 40
        while server.json("/api/datasets")["count"] <= len(CRAFTED):
            assert time.monotonic() < until
            time.sleep(0.2)
        for kind in CRAFTED:
            for more in ("", "/thumbnail.png", "/shards", "/sample", "/plot.svg?name=iterations"):
                status, _, _ = server.get(f"/data/{kind}-0123456789{more}")
                assert status in (200, 404, 422), (kind, more, status)
        assert server.get("/data/time-0123456789/picture.png?field=u")[0] == 200
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        assert server.get("/api", headers=upgrade | {"Sec-WebSocket-Key": "0" * 24})[0] == 200


@pytest.fixture
def patient(monkeypatch):
    """A small server whose connections wait for half a second; its port."""
    from storage.web.app import _Patient

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * (32 << 20)})

    monkeypatch.setattr(_Patient, "patience", 0.5)
    options = {"http": _Patient, "ws": "none", "lifespan": "off", "log_level": "critical"}
    server = uvicorn.Server(uvicorn.Config(app, **options))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(10)
    listener.close()


@pytest.mark.parametrize(
    "said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b", b"whole"]
)
def test_slow_clients_are_let_go(patient, said):
    if said == b"whole":  # asks, and doesn't take the answer
        said = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", patient), timeout=10) as link:
        link.sendall(said)
        time.sleep(2.5)
        link.settimeout(5)
        taken = 0
        try:
            while more := len(link.recv(1 << 16)):
                taken += more
        except ConnectionResetError:
            pass  # it would time out else
    assert taken < 32 << 20
