"""`rekrylov import`: others' samples are trained on, shown and checked; what can't be, says why."""

import fcntl
import os
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest
from runs import PYTHON

from pipeline import stages
from pipeline.dataset_folder import resolve
from pipeline.imported import ImportedSpec
from pipeline.spec_errors import SpecError
from pipeline.stages.evaluate import evaluate
from pipeline.stages.import_samples import import_samples
from storage import DataFolder, StorageError, open_dataset, read_manifest


def write_file(path, samples=40, points=12):
    """A smooth operator: u = x(1-x) y(1-y) / a."""
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, points)
    X, Y = np.meshgrid(x, x, indexing="ij")
    c = rng.standard_normal((2, samples, 1, 1))
    a = np.exp(0.5 * (c[0] * np.sin(np.pi * X) + c[1] * np.cos(np.pi * Y)))
    with open(path, "wb") as file:
        np.savez(file, x=a, y=X * (1 - X) * Y * (1 - Y) / a)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("import")
    path = write_file(root / "file.npz")
    options = {"licence": "CC-BY-4.0", "citation": "Somebody (2020)", "split_seed": 3}
    _, found = import_samples(path, "theirs", root / "data", quiet=True, **options)
    return DataFolder(found["folder"])


def test_the_manifest_says_where_they_come_from(folder):
    manifest = read_manifest(folder)
    assert manifest["spec"]["imported"]["file"] == "file.npz"
    assert manifest["problem"]["family"] == "imported" and manifest["rtol"] is None
    assert (manifest["licence"], manifest["citation"]) == ("CC-BY-4.0", "Somebody (2020)")
    assert manifest["splits"]["seed"] == 3 and manifest["samples"] == 40
    assert folder.path.name == f"theirs-{manifest['data_key'][:10]}"
    assert (folder.previews / "samples.png").stat().st_size > 1000
    assert sorted(p.name for p in folder.path.parent.iterdir()) == [folder.path.name]
    scalars = open_dataset(folder.path).scalars
    assert "true_residual" not in scalars and len(scalars["mean(a)"]) == 40


@pytest.mark.parametrize("kind", ["fno", "spon"])
def test_operators_are_trained_on_them(folder, kind):
    sizes = {"fno": "width: 8, modes: 6", "spon": "processor: {kind: messages, width: 8}"}[kind]
    override = f"train={{operator: {{kind: {kind}, {sizes}}}, epochs: 2}}"
    spec, there = resolve(folder.path, ".", [override])
    report = stages.train(spec, there, quiet=True)
    assert np.isfinite(report.error(kind)) and report.error("mean") > report.error("nearest")
    if kind == "spon":
        _, found = evaluate(report.folder, folder.path, out=folder.path / "training" / "test")
        assert "imported" in found["mesh_error"]["skipped"]


def test_stages_that_need_samples_alone_work(folder):
    spec, there = resolve(folder.path, ".")
    assert isinstance(spec, ImportedSpec)
    status = stages.status(spec, there)
    assert (status.stored, status.missing, status.failed) == (40, 0, 0)
    before = read_manifest(there)
    wanted = ["definitions={inverse: {inputs: [a], ood: 'mean(a) > 1.2'}}"]
    spec, there = resolve(folder.path, ".", wanted)
    stages.finalise(spec, there)
    after = read_manifest(there)
    assert after["shards"] == before["shards"] and set(after["definitions"]) == {"inverse"}


def test_what_needs_equations_says_why_it_can_not(folder):
    from pipeline.stages.solve import check_groups

    spec, _ = resolve(folder.path, ".")
    with pytest.raises(SpecError, match="imported from file.npz, without their equations"):
        check_groups(spec, 1)
    for key in ("problem", "mesh", "solve"):
        with pytest.raises(SpecError, match=f"{key}: the samples of 'theirs' were imported"):
            getattr(spec, key)
    with pytest.raises(SpecError, match="residual needs the equations"):
        resolve(folder.path, ".", ["train={loss: residual}"])
    with pytest.raises(SpecError, match="can't be solved again"):
        resolve(folder.path, ".", ["compare={operators: [{kind: fno}], tolerances: [1.0e-2]}"])
    with pytest.raises(SpecError, match="'b' is not one of a"):
        resolve(folder.path, ".", ["definitions={x: {inputs: [b]}}"])


def test_samples_that_are_there_are_not_written_again(folder):
    path = folder.path.parent.parent / "file.npz"
    times = {p: p.stat().st_mtime_ns for p in folder.path.rglob("*.h5")}
    with pytest.raises(StorageError, match="is there already"):
        import_samples(path, "theirs", folder.path.parent, quiet=True)
    assert times == {p: p.stat().st_mtime_ns for p in folder.path.rglob("*.h5")}


def test_a_bad_name_is_refused_before_the_file_is_read(tmp_path, monkeypatch):
    path = write_file(tmp_path / "f.npz")
    monkeypatch.setattr("pipeline.stages.import_samples.content_key", pytest.fail)
    with pytest.raises(SpecError, match="--name"):
        import_samples(path, "../escaped", tmp_path / "data", quiet=True)
    assert not (tmp_path / "data").exists()


def test_two_imports_of_the_same_samples_do_not_mix(tmp_path):
    path = write_file(tmp_path / "f.npz")
    _, found = import_samples(path, "d", tmp_path / "one", quiet=True)
    work = tmp_path / "two" / f".{os.path.basename(found['folder'])}.import"
    work.mkdir(parents=True)
    with open(work / "import.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        with pytest.raises(StorageError, match="another process imports"):
            import_samples(path, "d", tmp_path / "two", quiet=True)
    import_samples(path, "d", tmp_path / "two", quiet=True)
    shards = [sorted((tmp_path / at).glob("d-*/shards/*.h5")) for at in ("one", "two")]
    assert [p.read_bytes() for p in shards[0]] == [p.read_bytes() for p in shards[1]]


def test_a_killed_import_is_finished_by_the_same_command(rekrylov, tmp_path):
    """The data set has its name when it is whole; what was committed is kept."""
    path = write_file(tmp_path / "f.npz", samples=1500, points=24)
    arguments = ["import", path, "--name", "d", "--root", tmp_path / "data", "--json"]
    process = subprocess.Popen(
        [*PYTHON, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if len(list(tmp_path.glob("data/.d-*.import/shards/*.json"))) >= 3:
            break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(tmp_path.glob("data/d-*"))
    (work,) = tmp_path.glob("data/.d-*.import")
    kept = {p.name: p.stat().st_mtime_ns for p in work.glob("shards/*.json")}
    done = rekrylov(*arguments)
    assert done.code == 0, done.text
    (made,) = (tmp_path / "data").iterdir()
    times = {p.name: p.stat().st_mtime_ns for p in made.glob("shards/*.json")}
    assert len(kept) >= 3 and times | kept == times
    with np.load(path) as file:
        read = open_dataset(made, verify=True).read("u")
        assert np.array_equal(read, file["y"].reshape(1500, -1))


def test_the_command_line(rekrylov, tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["k"], file["w"] = np.ones((6, 5, 4)), np.zeros((6, 5, 4, 3))
    done = rekrylov(
        *("import", tmp_path / "f.h5", "--name", "m", "--root", tmp_path / "data"),
        *("--inputs", "k=kappa", "--outputs", "w", "--axes", "w=nxyt", "--domain", "0,2,0,1"),
    )
    assert done.code == 0, done.text
    assert "6 samples from f.h5 (hdf5)" in done.out and "kappa → w, 3 time steps" in done.out
    assert "5 on [0, 2] × 4 on [0, 1]" in done.out
    for wrong in (["--domain", "0,a"], ["--outputs", "z"], ["--name", "n/m"]):
        arguments = ["--name", "o", "--inputs", "k", "--outputs", "w", "--axes", "w=nxyt", *wrong]
        done = rekrylov("import", tmp_path / "f.h5", "--root", tmp_path / "data", *arguments)
        assert done.code == 2 and "Traceback" not in done.text, done.text
