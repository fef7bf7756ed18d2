"""`repair` makes a data set sound after every kind of damage, and touches nothing else."""

import hashlib
import json
import shutil
import sys

import numpy as np
import pytest
import yaml
from corruptions import DAMAGES, codes, sound_sets

from pipeline import stages
from pipeline.stages.repair import repair
from storage import DataFolder, open_dataset
from storage.loading.packing import pack

SHORT = {
    "byte flipped in values", "batch twice under another number", "byte flipped in spaces",
    "mesh edited consistently", "ids of two samples swapped consistently", "order of another run",
    "scalars edited", "spec torn", "all shards lost", "everything at once",
}  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return sound_sets(tmp_path_factory.getbasetemp())


@pytest.fixture
def copy(sound, tmp_path):
    return lambda kind="darcy": shutil.copytree(sound[kind], tmp_path / sound[kind].name)


def listing(place):
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.name != "check.json"
    }


def assert_same_samples(place, original):
    """The same inputs bit for bit, solutions to the tolerance."""
    found, expected = open_dataset(place, verify=True), open_dataset(original)
    rows = found.select(expected.ids)  # a forged batch may have brought further ids
    for name in expected.inputs:
        assert rows.read(name).tobytes() == expected.read(name).tobytes()
    for name in expected.outputs:
        a, b = rows.read(name), expected.read(name)
        assert np.linalg.norm(a - b) <= 1e-6 * np.linalg.norm(b)


def kept_batches(place, original):
    """Batches of the original that are bit for bit as they were."""
    return {
        path.stem
        for path in (original / "shards").glob("*.json")
        if all(
            twin.is_file() and twin.read_bytes() == mine.read_bytes()
            for mine in (path, path.with_suffix(".h5"))
            for twin in [place / "shards" / mine.name]
        )
    }


def set_aside(result):
    """Batches of which something was set aside."""
    lines = [line.split() for line in result.done if line.startswith("set aside shards/")]
    return {words[2].split("/")[1].split(".")[0] for words in lines}


@pytest.mark.parametrize(
    "name", [n if n in SHORT else pytest.param(n, marks=pytest.mark.long) for n in DAMAGES]
)
def test_it_ends_sound(sound, copy, name):
    damage = DAMAGES[name]
    original, place = sound[damage.kind], copy(damage.kind)
    damage.act(place, sound)
    whole = kept_batches(place, original)
    result = repair(DataFolder(place), full=True)
    assert result.sound, (result.unrepaired, result.check.findings)
    left = {"file.foreign"} if name == "foreign file among the shards" else set()
    assert codes(result.check) - {"file.leftover"} == left
    assert_same_samples(place, original)
    assert kept_batches(place, original) >= whole - set_aside(result)
    if name == "shard that no record names":
        assert kept_batches(place, original) == whole
    before = listing(place)
    again = repair(DataFolder(place), full=True)
    assert again.done == [] and again.aside is None and listing(place) == before


# --- the command


def folders_before_and_after(copy, damage, sound):
    place = copy()
    DAMAGES[damage].act(place, sound)
    return place, listing(place)


def test_a_dry_run_says_it_and_does_nothing(sound, copy, rekrylov):
    place, before = folders_before_and_after(copy, "everything at once", sound)
    (place / "check.json").unlink(missing_ok=True)  # of a check of the sound set
    done = rekrylov("repair", place, "--dry-run")
    assert done.code == 3, done.text
    for text in (
        "would set aside shards/0000-000002.h5 (shard.checksum)",
        "would set aside shards/0000-000004.json (record.malformed)",
        "would set aside shards/0000-000004.h5 (record.malformed, shard.orphan)",
        "would solve what is missing then",
        "would rebuild manifest.json",
        "damaged (normal check)",
    ):
        assert text in done.out, done.out
    assert listing(place) == before and not (place / "check.json").exists()


def test_on_ranks_and_in_processes(sound, copy, rekrylov):
    place, _ = folders_before_and_after(copy, "everything at once", sound)
    done = rekrylov("repair", place, "--ranks", "2", "--workers", "2", "--full", "--json")
    assert done.code == 0, done.text
    found = json.loads(done.out[done.out.index("{") :])
    assert found["sound"] and found["check"]["level"] == "full"
    assert found["check"]["recomputed"] == 20
    kept = sorted(path.name for path in (place / found["aside"]).rglob("*") if path.is_file())
    assert "findings.json" in kept and "0000-000002.h5" in kept and "0000-000004.json" in kept
    assert json.loads((place / "check.json").read_text())["sound"] is True
    assert_same_samples(place, sound["darcy"])


def test_what_cannot_be_repaired_is_said(sound, copy, tmp_path, rekrylov):
    place, _ = folders_before_and_after(copy, "shard deleted", sound)
    renamed = place.rename(tmp_path / "renamed")
    before = listing(renamed)
    done = rekrylov("repair", renamed)
    assert done.code == 3 and "not repaired: " in done.out and "rename it" in done.out
    assert listing(renamed) == before
    place = renamed.rename(place)
    revised = (
        "import pipeline.families.darcy as darcy, pipeline.cli\n"
        "darcy.Darcy.REVISION = 99\n"
        "pipeline.cli.main()"
    )
    command = [sys.executable, "-c", revised]
    done = rekrylov("repair", place, command=command)
    assert done.code == 3 and "made by another revision" in done.out
    assert listing(place) == before
    done = rekrylov("check", sound["darcy"], "--full", command=command)
    assert done.code == 0 and "warning: spec.unknown" in done.out


def test_samples_beyond_the_last_run_are_solved_again(sound, copy):
    """The last run asked for fewer samples than there are; none is lost, none added."""
    place = copy()
    (path,) = (place / "runs").glob("*.yaml")
    raw = yaml.safe_load(path.read_text()) | {"samples": 5}
    (place / "runs/99991231T000000.000000-00000000.yaml").write_text(yaml.safe_dump(raw))
    for name in ("json", "h5"):
        (place / f"shards/0000-000003.{name}").unlink()
    (place / "manifest.json").write_text("{")
    result = repair(DataFolder(place))
    assert result.sound, (result.unrepaired, result.check.findings)
    assert_same_samples(place, sound["darcy"])


def test_the_packed_copy_is_rebuilt(sound, copy):
    place = copy()
    pack(open_dataset(place))
    (values,) = (place / "packed").glob("outputs.u-*.npy")
    data = bytearray(values.read_bytes())
    data[-1] ^= 1
    values.write_bytes(data)
    folder = DataFolder(place)
    result = stages.check(None, folder)
    assert result.sound and codes(result) == {"packed.unusable"}
    assert repair(folder).done == ["rebuilt the packed copy"]
    assert stages.check(None, folder).findings == []
    DAMAGES["shard deleted"].act(place, sound)
    assert repair(folder).sound, "a copy of the shards as they were is stale"
    assert stages.check(None, folder).findings == []
