"""`docs/format.md` tells the truth: its snippet runs; hash and codes are those of the code."""

import hashlib
import re
from pathlib import Path

import h5py
from synthetic import make_dataset

DOC = (Path(__file__).parents[2] / "docs" / "format.md").read_text()


def test_snippet_runs(tmp_path, capsys):
    path = make_dataset(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", DOC, re.S)
    exec(code.replace("/tmp/docs-format/darcy-*", str(path)), {})
    assert "(8, 25)" in capsys.readouterr().out


def described_hash(item, path=""):
    """The hash as the page describes it, straight from the HDF5 file."""
    parts = {name: ("item", child) for name, child in item.items()}
    parts |= {name: ("value", value) for name, value in item.attrs.items()}
    out = b""
    for name in sorted(set(parts) - ({"hash"} if path == "" else set())):
        kind, value = parts[name]
        where = f"{path}/{name}"
        if kind == "value":
            plain = value.tolist() if hasattr(value, "tolist") else value
            plain = tuple(plain) if isinstance(plain, list) else plain
            out += f"value {where} {plain!r}\n".encode()
        elif isinstance(value, h5py.Group):
            out += f"group {where}\n".encode() + described_hash(value, where)
        else:
            array = value[()]
            out += f"array {where} {array.dtype.str} {array.shape}\n".encode()
            out += array.tobytes() + b"\n"
    return out


def test_hash_is_as_described(tmp_path):
    with h5py.File(make_dataset(tmp_path, "mixed") / "spaces.h5") as file:
        assert hashlib.sha256(described_hash(file)).hexdigest() == file.attrs["hash"]


def test_every_code_is_listed():
    table = DOC[DOC.index("## What a check finds") :]
    listed = set()
    for line in table.splitlines():
        codes = re.findall(r"`([a-z.]+)`", line.split("|")[1]) if line.startswith("|") else []
        listed |= set(codes)
    root = Path(__file__).parents[2]
    places = [
        *(root / "storage/checks").glob("*.py"),
        *(root / "pipeline/stages").glob("check*.py"),
    ]
    source = "".join(path.read_text() for path in [*places, root / "pipeline/stored_spec.py"])
    used = set(re.findall(r'(?:error|warning|info)\(\s*"([a-z]+\.[a-z]+)"', source))
    used |= set(re.findall(r'_CODE = "([a-z.]+)"', source))
    used |= set(re.findall(r'_(?:error|said)\(\s*"([a-z]+\.[a-z]+)"', source))
    used |= {"shard.header", "shard.spaces"}
    assert used == listed
