"""Every kind of damage of the suite is found, and named by its code."""

import json
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from corruptions import DAMAGES, SPECS, codes, sound_sets
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import stages
from storage import DataFolder


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return sound_sets(tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("kind", ["darcy", "lifted", "heat"])
def test_sound_data_sets_have_no_findings(sound, kind):
    result = stages.check(None, DataFolder(sound[kind]), full=True)
    assert result.findings == [] and result.recomputed == SPECS[kind]["samples"]


def test_there_are_many_kinds():
    assert len(DAMAGES) >= 30 and len({damage.code for damage in DAMAGES.values()}) >= 30


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_named(sound, tmp_path, name):
    damage = DAMAGES[name]
    place = shutil.copytree(sound[damage.kind], tmp_path / sound[damage.kind].name)
    damage.act(place, sound)
    folder = DataFolder(place)
    if damage.full:  # nothing lighter can tell: the suite is as mean as it says
        assert damage.code not in codes(stages.check(None, folder))
    result = stages.check(None, folder, damage.full)
    assert damage.code in codes(result), result.findings
    assert "check.failed" not in codes(result), result.findings
    (found, *_) = [finding for finding in result.findings if finding.code == damage.code]
    assert found.message and "\n" not in found.message
    assert found.severity != "error" or not result.sound


def test_the_page_lists_them_all():
    page = (Path(__file__).parents[3] / "docs/check.md").read_text()
    rows = {
        code: cells for code, cells in re.findall(r"\| (`[a-z.]+`(?: \(full\))?) \| (.*) \|", page)
    }
    for name, damage in DAMAGES.items():
        code = f"`{damage.code}`" + (" (full)" if damage.full else "")
        assert name in rows[code].split("; "), f"{name} is not in docs/check.md at {code}"
    assert f"in {len(DAMAGES)} ways" in page


# --- anything at all


FILES = ["manifest.json", "spaces.h5", "order.h5", "scalars.h5", "shards/0000-000001.json"]
FILES += ["shards/0000-000001.h5"]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_bytes_anywhere_are_found_or_change_nothing(sound, tmp_path_factory, data):
    """Flip, cut or fill in bytes of any file: the check ends, and tells all that matters."""
    original = sound["darcy"]
    place = shutil.copytree(original, tmp_path_factory.mktemp("any") / original.name)
    path = place / data.draw(st.sampled_from(FILES))
    content = bytearray(path.read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    length = data.draw(st.integers(1, 16))
    kind = data.draw(st.sampled_from(["flip", "fill", "cut"]))
    if kind == "cut":
        del content[start:]
    elif kind == "fill":
        content[start : start + length] = data.draw(st.binary(min_size=length, max_size=length))
    else:
        content[start] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    result = stages.check(None, DataFolder(place))
    assert "check.failed" not in codes(result), result.findings
    if not result.findings:
        assert same_content(path, original / path.relative_to(place))
    shutil.rmtree(place.parent)


def same_content(path, original):
    """Whether two files say the same, such as in other white space or unused bytes."""
    if path.suffix == ".json":
        return untold(json.loads(path.read_text())) == untold(json.loads(original.read_text()))
    if path.name in ("spaces.h5", "order.h5", "scalars.h5"):
        with h5py.File(path) as a, h5py.File(original) as b:
            return same_tree(a, b)
    return path.read_bytes() == original.read_bytes()


def untold(value):
    """A record's or manifest's content but what is told by nothing else: provenance, timings."""
    alone = ("info", "provenance", "timings", "strategy", "problem", "licence", "citation", "spec")
    return {key: item for key, item in value.items() if key not in alone}


def same_tree(a, b):
    alike = sorted(a.attrs) == sorted(b.attrs)
    alike &= all(np.array_equal(a.attrs[name], b.attrs[name]) for name in a.attrs)
    if isinstance(a, h5py.Dataset):
        return alike and np.array_equal(a[()], b[()], equal_nan=True)
    return alike and sorted(a) == sorted(b) and all(same_tree(a[name], b[name]) for name in a)
