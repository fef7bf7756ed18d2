"""The flows' wiring: outcomes, repeats, exit codes; launcher and status are stubbed."""

import contextlib
import signal
from types import SimpleNamespace

import pytest

from pipeline.interrupt import Interrupted
from pipeline.run import SolveFailed
from pipeline.spec_errors import SpecError

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def wiring(monkeypatch, tmp_path, tiny, server):
    """The task, with a launcher that returns `codes` in turn and leaves `missing` samples."""
    from flows import solve

    fake = SimpleNamespace(codes=[], missing=[], calls=[], solve=solve.solve)
    fake.spec, fake.folder = str(tiny), str(tmp_path / "tiny-0123456789")

    def launch(argv, ranks, *, on_line, log, wall_seconds, env, unwanted):
        fake.calls.append((argv, ranks, wall_seconds))
        on_line("a line")
        return fake.codes.pop(0)

    def status(spec, folder, part):
        return SimpleNamespace(missing=fake.missing.pop(0))

    monkeypatch.setattr(solve, "launch", launch)
    monkeypatch.setattr(solve.stages, "status", status)
    return fake


def solve(fake, *more, **options):
    options = {"retry_delay_seconds": 0, "cache_key_fn": None, "persist_result": False} | options
    return fake.solve.with_options(**options)(fake.spec, fake.folder, 2, *more)


def test_nothing_missing_launches_nothing(wiring):
    wiring.missing = [0]
    assert solve(wiring).endswith("shards")
    assert wiring.calls == []


def test_the_ranks_get_spec_root_part_and_time(wiring, tmp_path):
    wiring.codes, wiring.missing = [3], [6, 0]
    assert solve(wiring, "2/3", 0.5).endswith("shards")
    argv = ["solve", wiring.spec, "--root", str(tmp_path), "--part", "2/3"]
    assert wiring.calls == [(argv, 2, 1800.0)]


def test_the_records_count_not_the_code(wiring):
    wiring.codes, wiring.missing = [1], [6, 0]
    assert solve(wiring).endswith("shards")
    wiring.codes, wiring.missing = [0], [6, 2]
    with pytest.raises(SolveFailed, match="2 samples are missing"):
        solve(wiring, retries=0)


def test_an_unexpected_failure_is_tried_again(wiring):
    wiring.codes, wiring.missing = [1, 0], [6, 3, 3, 0]
    assert solve(wiring).endswith("shards")
    assert len(wiring.calls) == 2


@pytest.mark.parametrize(("code", "error"), [(2, SolveFailed), (4, Interrupted)])
def test_bad_input_and_interruption_are_not(wiring, code, error):
    wiring.codes, wiring.missing = [code], [6, 6]
    with pytest.raises(error):
        solve(wiring)
    assert len(wiring.calls) == 1


def test_the_end_of_the_time_is_told_from_an_interruption(wiring):
    wiring.codes, wiring.missing = [4], [6, 5]
    with pytest.raises(SolveFailed, match="5 samples are missing after 1e-12 h"):
        solve(wiring, None, 1e-12)
    assert len(wiring.calls) == 1


def test_a_bad_spec_is_not_tried_again():
    from flows import tasks

    state = SimpleNamespace(data=SpecError(["samples: got 0"]))
    assert not tasks._is_unexpected(None, None, state)
    assert tasks._is_unexpected(None, None, SimpleNamespace(data=OSError()))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["--set", "samples=0"], "samples"), (["--set", "nonsense=1"], "nonsense")],
)
def test_a_bad_spec_ends_with_2_before_any_server(
    monkeypatch, tmp_path, tiny, capsys, arguments, word
):
    from flows import generate, server

    monkeypatch.setattr(server, "temporary_server", lambda: pytest.fail("a server was started"))
    root = tmp_path / "data"
    with _signals_kept():
        assert generate.main([str(tiny), "--root", str(root), *arguments]) == 2
    assert word in capsys.readouterr().err
    assert not root.exists()


def test_mpirun_is_refused(monkeypatch, tiny, capsys):
    from flows import generate

    monkeypatch.setenv("PMI_SIZE", "2")
    with _signals_kept():
        assert generate.main([str(tiny)]) == 2
    assert "--ranks 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ({"stored": 6, "failed": 0, "missing": 0}, 0),
        ({"stored": 5, "failed": 1, "missing": 0}, 3),
        (Interrupted("stopped"), 4),
        (KeyboardInterrupt(), 4),
        (SolveFailed("no", 2), 2),
        (SolveFailed("no", 59), 1),
        (RuntimeError("unforeseen"), 1),
    ],
)
def test_exit_codes(monkeypatch, tiny, outcome, code):
    from flows import generate, server

    def flow(*_):
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome | {"samples": 6, "folder": "x"}

    monkeypatch.setattr(generate, "generate", flow)
    monkeypatch.setattr(server, "temporary_server", contextlib.nullcontext)
    with _signals_kept():
        assert generate.main([str(tiny)]) == code


def test_artifacts_have_the_numbers(monkeypatch):
    from flows.artifacts import CATALOGUE, markdown, numbers

    monkeypatch.setenv(CATALOGUE, "http://127.0.0.1:1/")
    found = {"name": "n", "folder": "/d/n-1", "samples": 6, "stored": 5, "failed": 1, "shards": 2}
    found |= {"iterations": {"mean": 7.5, "max": 9}, "worst_true_residual": float("inf")}
    table = {
        row["what"]: row["value"] for row in numbers(found | {"stage_seconds": {"solve": 1.0}})
    }
    assert table["iterations, mean"] == "7.5" and table["worst true residual"] == "inf"
    assert table["seconds, solve"] == "1"
    text = markdown(found)
    assert "5 of 6 samples" in text and "1 samples failed" in text
    assert "[Browse it](http://127.0.0.1:1/data/n-1)" in text
    without = {row["what"]: row["value"] for row in numbers(found | {"iterations": {}})}
    assert without["iterations, mean"] == "–"


def test_keys_of_artifacts_are_those_that_prefect_takes():
    from flows.artifacts import key

    assert key("My_set.v2-01ab", "summary") == "my-set-v2-01ab-summary"


@pytest.mark.parametrize(
    ("arguments", "word"), [(["--level", "deep"], "deep"), (["--root", "/none"], "is no folder")]
)
def test_a_bad_audit_ends_with_2_before_any_server(monkeypatch, capsys, arguments, word):
    from flows import audit, server

    monkeypatch.setattr(server, "temporary_server", lambda: pytest.fail("a server was started"))
    with _signals_kept():
        assert audit.main(arguments) == 2
    assert word in capsys.readouterr().err


@contextlib.contextmanager
def _signals_kept():
    """`main` owns its process and sets signal handlers; the test run keeps its own."""
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
