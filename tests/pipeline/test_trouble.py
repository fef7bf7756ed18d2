"""Bad specs, foreign and damaged data sets, failing solves: one clear message, nothing lost."""

import json
import shutil
import sys

import h5py
import numpy as np
import pytest
import yaml
from runs import assert_same, assert_sound, committed, folder_of, samples, write_spec

from storage import append_segment, open_dataset, read_records, set_path

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def root(finished, tmp_path):
    """A copy of the finished run, to be harmed."""
    return shutil.copytree(finished, tmp_path / "data", copy_function=shutil.copy)


def told_once(done, code, *parts):
    """The exit code, one message with all parts, no traceback."""
    assert done.code == code, done.text
    assert len(done.messages) == 1, done.text
    for part in parts:
        assert part in done.messages[0], done.text
    assert "Traceback" not in done.text


def listing(root):
    return sorted(str(path) for path in root.rglob("*"))


# --- specs


@pytest.mark.parametrize("command", ["run", "sample", "solve", "finalise", "check", "status"])
def test_a_bad_spec_writes_nothing(rekrylov, tmp_path, command):
    spec = write_spec(
        tmp_path / "bad.yaml",
        samples=-3,
        mesh__resolution="many",
        problem__coefficient__law="lognormal",
        problem__coefficient__colour="red",
        solve__strategy={"ksp": "magic"},
    )
    done = rekrylov(command, spec, "--root", tmp_path / "data")
    assert done.code == 2
    assert done.messages == ["rekrylov: 4 mistakes in the spec"]
    lines = [line for line in done.err.splitlines() if line.startswith("  ")]
    assert len(lines) == 4 and len(done.err.splitlines()) == 5
    for path in ("samples:", "mesh.resolution:", "colour:", "solve.strategy.ksp:"):
        assert sum(path in line for line in lines) == 1, done.err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "not YAML"),
        ("", "the spec is NoneType"),
        ("a: 1\na: 2", "key 'a' twice"),
        (None, "cannot be read"),
    ],
)
def test_no_spec_at_all(rekrylov, tmp_path, text, message):
    path = tmp_path / "spec.yaml"
    if text is not None:
        path.write_text(text)
    told_once(rekrylov("run", path, "--root", tmp_path / "data"), 2, message)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", ["finalise", "train", "check", "show", "order"])
def test_no_data_set_yet(rekrylov, spec, tmp_path, command):
    options = ["--set", "train.epochs=1"] if command == "train" else []
    done = rekrylov(command, spec, "--root", tmp_path / "data", *options)
    told_once(done, 2, "small-", "rekrylov ")
    assert not (tmp_path / "data").exists()


# --- data sets of others


def revised(number, *command):
    """The command line as it will be when the family was revised."""
    code = (
        "import pipeline.families.darcy as darcy, pipeline.cli\n"
        f"darcy.Darcy.REVISION = {number}\n"
        "pipeline.cli.main()"
    )
    return [sys.executable, "-c", code, *command]


@pytest.mark.parametrize("ranks", [None, 2])
def test_another_revision_is_not_extended(rekrylov, spec, root, ranks):
    before = listing(root)
    command = revised(99)
    options = ["--root", root, "--set", "samples=60"]
    done = rekrylov("solve", spec, *options, command=command, ranks=ranks)
    told_once(done, 2, "was revised", "not extended", "choose another name or root")
    assert listing(root) == before
    told_once(rekrylov("status", folder_of(root).path, command=command), 2, "was revised")
    shown = rekrylov("show", folder_of(root).path, command=command)
    assert shown.code == 0 and "48 stored" in shown.out
    for other in (["--set", "name=other"], ["--set", "seed=8"]):
        assert rekrylov("sample", spec, *options, *other, command=command).code == 0


def test_another_format_is_not_extended(rekrylov, spec, root):
    folder = folder_of(root)
    with h5py.File(folder.spaces, "r+") as file:
        file.attrs["format"] = 2
    before = listing(root)
    for command in ("solve", "run", "status", "finalise", "check"):
        done = rekrylov(command, spec, "--root", root)
        told_once(done, 2, "has format 2", "reads and writes format 1")
    assert listing(root) == before


@pytest.mark.parametrize("file", ["shards/0000-000003.json", "manifest.json"])
def test_a_file_of_another_format(rekrylov, spec, root, file):
    path = folder_of(root).path / file
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    command = "show" if file == "manifest.json" else "solve"
    told_once(rekrylov(command, spec, "--root", root), 2, file, "has format 2")


# --- damage


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def flip_value(path, name):
    """Alter one value of an array in an HDF5 file, and nothing else."""
    with h5py.File(path) as file:
        where = file[name].id
        chunked = where.get_create_plist().get_layout() == h5py.h5d.CHUNKED
        offset = where.get_chunk_info(0).byte_offset if chunked else where.get_offset()
    flip(path, offset + 3)


def uncommit(root):
    """Take one batch out, so that there is something to solve."""
    folder = folder_of(root)
    folder.record(0, 5).unlink()
    folder.shard(0, 5).unlink()


def test_a_truncated_or_lost_shard_is_made_again(rekrylov, spec, finished, root):
    folder = folder_of(root)
    truncate(folder.shard(0, 2))
    folder.shard(0, 7).unlink()
    told_once(rekrylov("finalise", spec, "--root", root), 3, "0000-000002.h5")
    done = rekrylov("check", spec, "--root", root)
    assert done.code == 3
    for text in ("shard.size shards/0000-000002.h5", "shard.missing shards/0000-000007.h5"):
        assert text in done.out
    before = committed_but(root, 2, 7)
    done = rekrylov("run", spec, "--root", root)
    assert done.code == 0, done.text
    assert committed_but(root, 2, 7) == before
    assert_sound(root)
    assert_same(samples(root), samples(finished))


def committed_but(root, *batches):
    names = {f"0000-{batch:06d}.h5" for batch in batches}
    folder = folder_of(root)
    files = {path.name: path for path in folder.shards.glob("*.h5") if path.name not in names}
    return {name: (path.stat().st_mtime_ns, path.read_bytes()) for name, path in files.items()}


def test_an_altered_shard_is_named_and_can_be_made_again(rekrylov, spec, finished, root):
    folder = folder_of(root)
    flip_value(folder.shard(0, 2), "outputs/u")
    done = rekrylov("check", spec, "--root", root)
    assert done.code == 3
    assert "error: shard.checksum shards/0000-000002.h5" in done.out
    found = json.loads(rekrylov("check", spec, "--root", root, "--json").out)
    assert found["sound"] is False
    told_once(rekrylov("finalise", spec, "--root", root), 3, "0000-000002.h5", "SHA-256", "remove")
    options = ["--root", root, "--set", "train.epochs=1"]
    told_once(rekrylov("train", spec, *options), 3, "0000-000002.h5", "SHA-256")
    folder.shard(0, 2).unlink()
    assert rekrylov("run", spec, "--root", root).code == 0
    assert_sound(root)
    assert_same(samples(root), samples(finished))


DAMAGES = {
    "order torn": (lambda f: truncate(f.order), ["solve", "status"], "order.h5"),
    "order altered": (lambda f: flip_value(f.order, "segments/0000/path"), ["solve"], "order.h5"),
    "spaces torn": (lambda f: truncate(f.spaces), ["solve", "status", "run"], "spaces.h5"),
    "spaces altered": (lambda f: flip_value(f.spaces, "mesh/points"), ["solve"], "spaces.h5"),
    "record torn": (lambda f: truncate(f.record(0, 2)), ["solve", "finalise"], "0000-000002.json"),
    "record empty": (lambda f: f.record(0, 2).write_text(""), ["status"], "0000-000002.json"),
    "manifest torn": (lambda f: truncate(f.manifest), ["show", "train"], "manifest.json"),
    "manifest altered": (
        lambda f: f.manifest.write_text(f.manifest.read_text().replace('"shards"', '"sherds"')),
        ["show"],
        "manifest.json",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_once(rekrylov, spec, root, damage):
    uncommit(root)
    act, commands, name = DAMAGES[damage]
    act(folder_of(root))
    for command in commands:
        options = ["--set", "train.epochs=1"] if command == "train" else []
        told_once(rekrylov(command, spec, "--root", root, *options), 3, name)
    if "solve" in commands:
        done = rekrylov("solve", spec, "--root", root, ranks=2)
        assert done.code == 3, done.text
        assert 1 <= len(done.messages) <= 2 and name in done.messages[0]
        assert "Traceback" not in done.text
    assert rekrylov("check", folder_of(root).path).code == 3


def test_run_stops_at_damage_that_its_ranks_met(rekrylov, spec, root):
    uncommit(root)
    flip_value(folder_of(root).spaces, "mesh/points")
    done = rekrylov("run", spec, "--root", root, "--ranks", "2")
    told_once(done, 3, "4 samples are not solved; see the solve stage's message above")
    assert "spaces.h5: hash of its content is" in done.out
    assert "worst true residual" not in done.out


def test_a_damaged_record_can_be_made_again(rekrylov, spec, finished, root):
    record = folder_of(root).record(0, 2)
    truncate(record)
    told_once(rekrylov("solve", spec, "--root", root), 3, record.name, "remove it")
    record.unlink()
    assert rekrylov("run", spec, "--root", root).code == 0
    assert_sound(root)
    assert_same(samples(root), samples(finished))


def test_a_damaged_run_is_told(rekrylov, root):
    folder = folder_of(root)
    last = max(folder.runs.iterdir())
    last.write_text("name: [")
    told_once(rekrylov("status", folder.path), 3, last.name, "remove it")
    last.unlink()
    assert rekrylov("status", folder.path).code == 0


def test_finalise_rebuilds_the_manifest(rekrylov, spec, root):
    folder = folder_of(root)
    before = json.loads(folder.manifest.read_text())
    for harm in (truncate, lambda path: path.unlink()):
        harm(folder.manifest)
        assert rekrylov("finalise", spec, "--root", root).code == 0
        after = json.loads(folder.manifest.read_text())
        assert {k: v for k, v in after.items() if k != "provenance"} == {
            k: v for k, v in before.items() if k != "provenance"
        }
    assert_sound(root)


def test_a_lost_order_is_made_again(rekrylov, spec, finished, root):
    uncommit(root)
    folder_of(root).order.unlink()
    before = committed(root)
    done = rekrylov("run", spec, "--root", root, "--set", "order.sort=none")
    assert done.code == 0, done.text
    assert {name: committed(root)[name] for name in before} == before
    assert_sound(root)
    assert_same(samples(root), samples(finished))


def test_an_order_of_other_samples_is_refused(rekrylov, spec, root):
    uncommit(root)
    order = folder_of(root).order
    order.unlink()
    append_segment(order, range(48))
    set_path(order, 0, range(48), range(0, 49, 4))
    for ranks in (None, 2):
        done = rekrylov("solve", spec, "--root", root, ranks=ranks)
        told_once(done, 3, "holds other samples than order.h5 says")


def test_spaces_of_others_are_refused(rekrylov, spec, root):
    from storage import read_spaces, write_spaces

    folder = folder_of(root)
    tree = read_spaces(folder.spaces)
    tree["mesh"]["points"][0, 0] += 1e-9
    folder.spaces.unlink()
    write_spaces(folder.spaces, tree)
    done = rekrylov("solve", spec, "--root", root, "--set", "samples=50")
    told_once(done, 2, "was made with spaces", "restore the one that belongs to the shards")
    folder.spaces.unlink()  # the same command makes the same spaces
    assert rekrylov("run", spec, "--root", root, "--set", "samples=50").code == 0
    assert_sound(root)


# --- solves that fail


def weak(limit):
    return f"solve.strategy={{ksp: cg, pc: none, guess: zero, max_it: {limit}, fallback: false}}"


@pytest.fixture(scope="module")
def middle(rekrylov, spec, tmp_path_factory):
    """The iterations that half of the samples need."""
    root = tmp_path_factory.mktemp("weak")
    done = rekrylov("solve", spec, "--root", root, "--set", weak(1000))
    assert done.code == 0, done.text
    return int(np.median(open_dataset(folder_of(root).path).column("solve/iterations")))


@pytest.mark.parametrize(("share", "ranks"), [("all", "1"), ("half", "2")])
def test_solves_that_fail_are_listed(rekrylov, spec, middle, tmp_path, share, ranks):
    limit = 1 if share == "all" else middle
    options = ["--root", tmp_path, "--set", weak(limit)]
    done = rekrylov("run", spec, *options, "--ranks", ranks)
    assert done.code == 3, done.text
    assert "Traceback" not in done.text
    status = json.loads(rekrylov("status", spec, *options, "--json").out)
    stored, failed = status["stored"], status["failed"]
    assert failed > 0 and stored + failed == 48 and status["missing"] == 0
    assert (stored == 0) == (share == "all"), "the limit shall let some pass"
    folder = folder_of(tmp_path)
    failures = [f for record in read_records(folder) for f in record.failures]
    listed = json.loads(folder.manifest.read_text())["failures"]
    assert listed == failures and len(failures) == failed
    for failure in failures:
        assert failure["reason"] == (
            "the iteration limit was reached: raise max_it or take a stronger pc"
        )
        assert failure["true_residual"] > 1e-8
    ids = [i for record in read_records(folder) for i in record.all_ids]
    assert sorted(ids) == list(range(48))
    assert f"{stored} stored, {failed} failed" in done.out
    assert rekrylov("solve", spec, *options).code == 3, "they stay failed"
    assert_sound(tmp_path)
    assert rekrylov("check", spec, "--root", tmp_path, "--full").code == 0


def test_a_failed_attempt_that_the_ladder_saves(rekrylov, spec, finished, tmp_path):
    options = ["--root", tmp_path, "--set", "solve.strategy.max_it=2"]
    done = rekrylov("run", spec, *options)
    assert done.code == 0, done.text
    ladders = [record.info["ladders"] for record in read_records(folder_of(tmp_path))]
    assert sum(map(len, ladders)) == 48
    assert_same(samples(tmp_path), samples(finished))


# --- odd places


def test_a_root_with_spaces_and_letters(rekrylov, finished, tmp_path):
    home = tmp_path / "Ünïcode und Leer zeichen"
    home.mkdir()
    spec = write_spec(home / "ä b.yaml")
    for ranks in ("1", "2"):
        root = home / f"wurzel {ranks} 'x'"
        assert rekrylov("run", spec, "--root", root, "--ranks", ranks).code == 0
        assert_same(samples(root), samples(finished))
        assert rekrylov("check", folder_of(root).path).code == 0


def test_fewer_samples_than_there_are(rekrylov, spec, root):
    before = committed(root)
    options = ["--root", root, "--set", "samples=10"]
    done = rekrylov("run", spec, *options)
    assert done.code == 0, done.text
    assert committed(root) == before
    status = json.loads(rekrylov("status", spec, *options, "--json").out)
    assert (status["samples"], status["stored"], status["missing"]) == (10, 10, 0)
    assert_sound(root)


def test_the_spec_of_every_run_is_kept(rekrylov, spec, root):
    rekrylov("solve", spec, "--root", root, "--set", "samples=50")
    last = max(folder_of(root).runs.iterdir())
    assert yaml.safe_load(last.read_text())["samples"] == 50
    status = json.loads(rekrylov("status", folder_of(root).path, "--json").out)
    assert (status["samples"], status["stored"]) == (50, 50)
