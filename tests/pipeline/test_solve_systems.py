"""Folders of systems are solved: what can be solved is, what can't is named, nothing is lost."""

import json
import shutil
import signal
import time

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

import meshes  # noqa: F401, I001 - fixes the order of imports
from pipeline.cli import main
from pipeline.commands.systems import parse_strategy
from pipeline.solve_systems import solve_systems
from pipeline.spec_errors import SpecError
from pipeline.systems_share import Share
from solvers import Reason, Solution, Strategy
from solvers.system_files import find_systems

N = 144


def laplacian(n=12, shift=0.0, seed=0):
    """A five-point Laplacian with a random positive diagonal on top."""
    one = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n))
    extra = sp.diags_array(shift + 0.1 * np.random.default_rng(seed).random(n * n))
    return sp.csr_array(sp.kronsum(one, one) + extra)


def right(seed=0, shape=N):
    return np.random.default_rng(seed).standard_normal(shape)


def put(folder, name, A=None, b=None):
    if A is not None:
        sp.save_npz(folder / f"{name}.A.npz", A)
    if b is not None:
        np.save(folder / f"{name}.b.npy", b)


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """Four sound systems of two formats, and one of each kind that isn't."""
    folder = tmp_path_factory.mktemp("systems")
    for i in range(3):
        put(folder, f"s{i}", laplacian(seed=i), right(i))
    scipy.io.mmwrite(folder / "s3.A.mtx", laplacian(seed=3))
    scipy.io.mmwrite(folder / "s3.b.mtx", right(3)[:, None])
    put(folder, "other-shape", laplacian(5), right(shape=25))
    put(folder, "no-b", laplacian())
    put(folder, "no-A", b=right())
    put(folder, "short-b", laplacian(), right()[:-1])
    holed = laplacian()
    holed.data[5] = np.nan
    put(folder, "nan", holed, right())
    put(folder, "inf-b", laplacian(), np.where(right() > 2, np.inf, right()))
    dependent = laplacian().tolil()
    dependent[7] = dependent[8]
    put(folder, "singular", sp.csr_array(dependent), right())
    empty_row = laplacian().tolil()
    empty_row[7] = 0
    put(folder, "empty-row", sp.csr_array(empty_row), right())
    put(folder, "cut", laplacian(), right())
    content = (folder / "cut.A.npz").read_bytes()
    (folder / "cut.A.npz").write_bytes(content[: len(content) // 2])
    scipy.io.mmwrite(folder / "cut-text.A.mtx", laplacian())
    content = (folder / "cut-text.A.mtx").read_bytes()
    (folder / "cut-text.A.mtx").write_bytes(content[: len(content) // 2])
    np.save(folder / "cut-text.b.npy", right())
    put(folder, "complex", laplacian() * 1j, right())
    np.savez(folder / "pickled.A.npz", format=b"csr", shape=(N, N), data=[{}], indices=[0])
    put(folder, "pickled", b=right())
    put(folder, "twice", laplacian(), right())
    scipy.io.mmwrite(folder / "twice.A.mtx", laplacian())
    return folder


FAILURES = {
    "other-shape": ("other-shape.A.npz: ", "25 rows, but"),
    "no-b": ("no-b.A.npz: ", "no right-hand side"),
    "no-A": ("no-A.b.npy: ", "no matrix"),
    "short-b": ("short-b.b.npy: ", "(143,)"),
    "nan": ("nan.A.npz: ", "NaN or Inf"),
    "inf-b": ("inf-b.b.npy: ", "NaN or Inf"),
    "singular": ("singular.A.npz: ", "singular"),
    "empty-row": ("empty-row.A.npz: ", "singular"),
    "cut": ("cut.A.npz: ", "damaged"),
    "cut-text": ("cut-text.A.mtx: ", "damaged"),
    "complex": ("complex.A.npz: ", "complex values"),
    "pickled": ("pickled.A.npz: ", "allow_pickle"),
    "twice": ("twice.A.mtx: ", "keep one"),
}


def assert_solved(folder, output, rtol=1e-8):
    for i in range(4):
        x, b = np.load(output / f"s{i}.npy"), right(i)
        assert np.linalg.norm(laplacian(seed=i) @ x - b) <= rtol * np.linalg.norm(b)


@pytest.mark.parametrize("ranks", [None, 2])
def test_what_cannot_be_solved_is_named_and_the_rest_goes_on(rekrylov, bad, tmp_path, ranks):
    done = rekrylov("solve-systems", bad, "--output", tmp_path / "x", ranks=ranks)
    assert done.code == 3 and "Traceback" not in done.text
    assert_solved(bad, tmp_path / "x")
    report = json.loads((tmp_path / "x" / "report.json").read_text())
    failed = {row["name"]: row["error"] for row in report["rows"] if row["status"] == "failed"}
    assert failed.keys() == FAILURES.keys()
    for name, (file, why) in FAILURES.items():
        assert failed[name].startswith(f"{bad / file}") and why in failed[name]
        assert f"failed: {name}: {failed[name]}" in done.out.splitlines()
    assert (report["solved"], report["failed"], report["missing"]) == (4, len(FAILURES), 0)
    assert report["ranks"] == (ranks or 1) and 0 < report["worst_true_residual"] <= 1e-8
    assert sorted(p.name for p in (tmp_path / "x").glob("*.npy")) == [f"s{i}.npy" for i in range(4)]
    again = rekrylov("solve-systems", bad, "--output", tmp_path / "x", "--json", ranks=ranks)
    assert json.loads(again.out)["kept"] == 4 and again.code == 3


@pytest.fixture
def folder(tmp_path):
    for i in range(4):
        put(tmp_path, f"s{i}", laplacian(seed=i), right(i))
    return tmp_path


def test_what_verifies_is_kept_and_what_does_not_is_solved_again(folder):
    first = solve_systems(folder, quiet=True)
    assert (first["solved"], first["kept"]) == (4, 0)
    output = folder / "solutions"
    before = (output / "s3.npy").stat().st_mtime_ns
    np.save(folder / "s0.b.npy", 2 * right(0))  # other data
    (output / "s1.npy").write_bytes(b"damaged")
    np.save(output / "s2.npy", np.zeros(3))
    again = solve_systems(folder, quiet=True)
    status = {row["name"]: row["status"] for row in again["rows"]}
    assert status == {"s0": "solved", "s1": "solved", "s2": "solved", "s3": "kept"}
    assert (output / "s3.npy").stat().st_mtime_ns == before
    np.save(folder / "s0.b.npy", right(0))
    assert solve_systems(folder, quiet=True)["solved"] == 1
    assert_solved(folder, output)


def test_a_solution_that_no_longer_holds_is_taken_away(folder):
    solve_systems(folder, quiet=True)
    sp.save_npz(folder / "s0.A.npz", sp.csr_array((N, N)))
    report = solve_systems(folder, quiet=True)
    assert report["failed"] == 1 and "singular" in report["rows"][0]["error"]
    assert not (folder / "solutions" / "s0.npy").exists() and report["kept"] == 3


def test_columns_share_a_matrix_and_fail_alone(tmp_path):
    b = right(0, (N, 3))
    b[:, 1] = 0.0  # solved by no iteration
    sp.save_npz(tmp_path / "A.npz", laplacian())
    np.save(tmp_path / "many.b.npy", b)
    np.save(tmp_path / "one.b.npy", b[:, :1])
    weak = Strategy("cg", "none", max_it=3, fallback=False)
    report = solve_systems(tmp_path, strategy=weak, quiet=True)
    many, one = report["rows"]
    assert many["failed_columns"] == [0, 2] and many["file"] == "many.npy"
    assert many["error"].startswith(f"{tmp_path / 'A.npz'}, column 0: the iteration limit")
    x = np.load(tmp_path / "solutions" / "many.npy")
    assert x.shape == (N, 3) and np.isnan(x[:, [0, 2]]).all() and (x[:, 1] == 0).all()
    assert one["file"] is None and not (tmp_path / "solutions" / "one.npy").exists()
    report = solve_systems(tmp_path, strategy=Strategy("cg", "icc"), quiet=True)
    assert report["solved"] == 2
    x = np.load(tmp_path / "solutions" / "many.npy")
    residual = np.linalg.norm(laplacian() @ x - b, axis=0)
    assert (residual <= 1e-8 * np.linalg.norm(b, axis=0)).all()
    assert np.load(tmp_path / "solutions" / "one.npy").shape == (N, 1)


def test_solutions_may_come_several_systems_later(folder, tmp_path):
    """As they do of blocks: in the order of the systems."""
    files = find_systems(folder).files
    share = Share(files, tmp_path, 1e-8, stop=False, counter=Count())
    for system in list(share.systems([2, 0, 3, 1], 0)):
        x = np.full(N, float(system.id))
        share.receive(Solution(system.id, x, Reason.CONVERGED, 1, 1e-9, 0.0))
    assert [(i, row["position"]) for i, row in share.rows.items()] == [
        (2, 0),
        (0, 1),
        (3, 2),
        (1, 3),
    ]
    for i in range(4):
        assert (np.load(tmp_path / f"s{i}.npy") == i).all()


class Count:
    def add(self, failed):
        assert not failed


def positions(report):
    return [row["position"] for row in report["rows"]]


def test_systems_are_sorted_by_entries_or_given_features(tmp_path):
    for i, shift in enumerate([0.0, 3.0, 1.0, 2.0]):
        put(tmp_path, f"s{i}", laplacian(shift=shift), right(0))
    found = solve_systems(tmp_path, quiet=True)
    assert found["sort"]["by"] == "entries of A" and positions(found) == [0, 3, 1, 2]
    assert found["sort"]["length"] == pytest.approx(0.5 * found["sort"]["length_unsorted"], rel=0.3)
    found = solve_systems(tmp_path, tmp_path / "y", sort="none", quiet=True)
    assert found["sort"]["by"] == "nothing" and positions(found) == [0, 1, 2, 3]
    np.save(tmp_path / "features.npy", [0.0, 1.0, 3.0, 2.0])
    found = solve_systems(tmp_path, tmp_path / "z", quiet=True)
    assert found["sort"]["by"] == "given features" and positions(found) == [0, 1, 3, 2]


def test_with_one_matrix_right_hand_sides_are_sorted(tmp_path):
    sp.save_npz(tmp_path / "A.npz", laplacian())
    for i, size in enumerate([1.0, 9.0, 2.0]):
        put(tmp_path, f"s{i}", b=size * right(0))
    found = solve_systems(tmp_path, quiet=True)
    assert found["sort"]["by"] == "entries of b" and positions(found) == [0, 2, 1]


def test_entries_of_any_size_can_be_sorted(tmp_path):
    for i, scale in enumerate([1e300, 1e-300, 1.5e300]):
        put(tmp_path, f"s{i}", laplacian() * scale, right(i))
    found = solve_systems(tmp_path, quiet=True)
    assert positions(found) == [0, 2, 1] and np.isfinite(found["sort"]["length"])


def test_the_same_solutions_on_any_ranks_with_a_direct_solver(rekrylov, folder, tmp_path):
    for name, ranks in (("one", None), ("two", 2)):
        done = rekrylov(
            "solve-systems", folder, "--output", tmp_path / name, "--strategy",
            "ksp=preonly,pc=lu", ranks=ranks,
        )  # fmt: skip
        assert done.code == 0, done.text
    for i in range(4):
        one, two = (np.load(tmp_path / n / f"s{i}.npy") for n in ("one", "two"))
        assert np.array_equal(one, two)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nowhere"], "nowhere: cannot be listed"),
        (["empty"], "empty: no system found, only no file; expected NAME.A.npz"),
        (["sound", "--rtol", "0"], "rtol: got 0.0"),
        (["sound", "--sort", "fast"], "sort: "),
        (["sound", "--strategy", "ksp=cgs"], "--strategy ksp: "),
        (["sound", "--strategy", "{kps: cg}"], "unknown key 'kps'"),
        (["sound", "--strategy", "{ksp: preonly}"], "a direct solve needs pc"),
        (["sound", "--strategy", "cg"], "expected '{ksp: cg, pc: icc}'"),
        (["sound", "--strategy", "{"], "not YAML"),
        (["sound", "--output", "sound"], "is the folder of the systems"),
        ([], "Missing argument"),
    ],
    ids=str,
)
def test_bad_arguments_end_with_2_and_leave_no_trace(tmp_path, monkeypatch, capfd, arguments, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "sound").mkdir()
    put(tmp_path / "sound", "s", laplacian(), right())
    with pytest.raises(SystemExit) as end:
        main(["solve-systems", *arguments])
    said = capfd.readouterr().err
    assert end.value.code == 2 and why in said and "Traceback" not in said
    assert sorted(p.name for p in tmp_path.rglob("*.*")) == ["s.A.npz", "s.b.npy"]


def test_bad_arguments_on_two_ranks_are_one_message(rekrylov, tmp_path):
    done = rekrylov("solve-systems", tmp_path, ranks=2)
    assert done.code == 2 and len(done.messages) == 1 and "no system found" in done.messages[0]


def test_strategies_are_yaml_json_or_pairs():
    wanted = Strategy("cg", "icc", max_it=50, fallback=False)
    for text in (
        "{ksp: cg, pc: icc, max_it: 50, fallback: false}",
        '{"ksp": "cg", "pc": "icc", "max_it": 50, "fallback": false}',
        "ksp=cg, pc=icc, max_it=50, fallback=false",
        "ksp: cg\npc: icc\nmax_it: 50\nfallback: false\n",
    ):
        assert parse_strategy(text) == wanted
    with pytest.raises(SpecError, match="max_it"):
        parse_strategy("max_it=many")


@pytest.mark.parametrize("ranks", [None, pytest.param(2, marks=pytest.mark.long)])
def test_a_stopped_run_keeps_what_it_has_and_is_finished_by_the_same_command(
    rekrylov, tmp_path, ranks
):
    for i in range(30):
        put(tmp_path, f"s{i:02}", laplacian(60, seed=i), right(i, 3600))
    command = ("solve-systems", tmp_path, "--strategy", "ksp=gmres,pc=none,restart=10")
    process = rekrylov.start(*command, ranks=ranks)
    end = time.monotonic() + 30
    while not list((tmp_path / "solutions").glob("*.npy")):
        assert time.monotonic() < end
        time.sleep(0.005)
    process.send(signal.SIGTERM)
    done = process.wait()
    solved = len(list((tmp_path / "solutions").glob("*.npy")))
    assert done.code in ((4,) if ranks is None else (4, 143, 15)), done.text
    assert 0 < solved < 30 and "Traceback" not in done.text
    if ranks is None:
        assert "solutions written so far are kept" in done.err
    found = json.loads(rekrylov(*command, "--json", ranks=ranks).out)
    assert (found["kept"], found["solved"]) == (solved, 30 - solved)
    assert not list((tmp_path / "solutions").glob("*.tmp"))


def test_a_full_disk_ends_with_4_and_is_finished_by_the_same_command(rekrylov, folder, disk):
    small = disk("64k")
    (small.path / "filler").write_bytes(bytes(60 << 10))
    done = rekrylov("solve-systems", folder, "--output", small.path / "x")
    assert done.code == 4 and "no space left" in done.err and len(done.messages) == 1
    small.remount("size=1m")
    assert rekrylov("solve-systems", folder, "--output", small.path / "x").code == 0
    assert_solved(folder, small.path / "x")


def test_the_public_names_work_together(folder):
    from mpi4py import MPI

    import rekrylov

    files = rekrylov.find_systems(folder).files
    shutil.copy(folder / "s1.b.npy", folder / "b.npy")
    systems = rekrylov.read_systems(files[::-1])
    stream = rekrylov.solve_stream(systems, Strategy(), rtol=1e-9, comm=MPI.COMM_SELF)
    assert [(files[::-1][s.id].name, s.converged) for s in stream] == [
        (f"s{i}", True) for i in (3, 2, 1, 0)
    ]
    assert rekrylov.solve_systems(folder, quiet=True)["failed"] == 0
