"""A web catalogue as a process of its own, and plain requests to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
"""With which Chromium is started: it asks for nothing but the pages."""


class Server:
    """A running server: `get(path)` gives (status, headers, body)."""

    def __init__(self, address: str) -> None:
        self.address = address
        parts = urlsplit(address)
        self.host, self.port, self.query = parts.hostname, parts.port, parts.query
        self.base = f"http://{parts.netloc}"

    def get(self, path, method="GET", headers=None):
        """Ask for a path as it stands, without making it tidy."""
        link = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            link.putrequest(method, path, skip_host=headers is not None and "Host" in headers)
            for name, value in (headers or {}).items():
                link.putheader(name, value)
            link.endheaders()
            answer = link.getresponse()
            told = {k.lower(): v for k, v in answer.getheaders()}
            return answer.status, told, answer.read()
        finally:
            link.close()

    def text(self, path):
        """The body of a page that is there."""
        status, _, body = self.get(path)
        assert status == 200, (path, status, body[:500])
        return body.decode()

    def json(self, path):
        """The answer of the API."""
        return json.loads(self.text(path))


@contextlib.contextmanager
def running(root, *options):
    """Start `rekrylov serve` on a free port; end it by SIGTERM and see that it ends well."""
    command = [sys.executable, "-m", "pipeline.cli", "serve", "--root", str(root), "--port", "0"]
    process = subprocess.Popen(
        [*command, *options],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://"), process.stderr.read()
        yield Server(address)
    finally:
        process.terminate()
        try:
            _, said = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 0, said
    assert "Traceback" not in said, said
