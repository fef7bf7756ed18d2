"""A rank, `mpiexec` or its proxy is killed in the solve: all end, and the same command goes on."""

import signal

import pytest
from killing import assert_each_once, role
from runs import committed, records_below, wait_until

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(
    "victim",
    [
        "rank",
        pytest.param("mpiexec", marks=pytest.mark.long),
        pytest.param("hydra_pmi_proxy", marks=pytest.mark.long),
    ],
)
def test_the_run_ends_and_is_finished(rekrylov, spec, tmp_path, victim):
    root = tmp_path / "data"
    more = ["--ranks", "2", "--set", "samples=4000"]
    process = rekrylov.start("run", spec, "--root", root, *more)
    wait_until(lambda: records_below(root) > 3, process, 120)
    found = [each for each in process.alive() if role(each) == victim]
    assert found, f"no {victim}"
    found[0].send_signal(signal.SIGKILL)
    done = process.wait(60)
    process.assert_nothing_left()
    assert done.code == 1, done.text
    assert len(done.messages) == 1 and "the solve stage ended with exit code 1" in done.messages[0]
    assert "Traceback" not in done.text
    before = committed(root)
    done = rekrylov("solve", spec, "--root", root, timeout=120)
    assert done.code == 0, done.text
    after = committed(root)
    assert {name: after[name] for name in before} == before
    assert_each_once(root)
