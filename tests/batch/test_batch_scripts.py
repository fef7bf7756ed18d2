"""The batch scripts without a scheduler: under plain bash, as far as they go."""

import json
import os
import re
import signal
import subprocess
from contextlib import contextmanager

import pytest
from outcome import ROOT, SHIPPED, assert_complete, dataset_folder, shards, wait_for

pytestmark = pytest.mark.timeout(300)

SCRIPTS = sorted(SHIPPED.iterdir())
HALF_NEGATIVE = "problem.coefficient={law: uniform, low: -1.0, high: 1.0}"


@pytest.fixture
def hosts(tmp_path):
    path = tmp_path / "hosts"
    path.write_text("localhost:2\n")
    return path


@contextmanager
def running(*command, env):
    """A script under bash, in the checkout."""
    process = subprocess.Popen(
        ["bash", *map(str, command)],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()


def end(*command, env):
    """Run a script to its end; return exit code and output."""
    with running(*command, env=env) as process:
        output, _ = process.communicate(timeout=240)
    return process.returncode, output


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_can_read_it(script):
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.access(script, os.X_OK) == (script.suffix == ".sh")


def test_copies_of_a_function_are_the_same():
    copies = {}
    for script in SCRIPTS:
        if "stopped=0" in script.read_text():
            (found,) = re.findall(r"^step\(\) \{\n.*?^\}\n", script.read_text(), re.M | re.S)
            copies[script.name] = found
    assert sorted(copies) == ["array.sbatch", "generate.sbatch", "mpirun.sh"]
    assert len(set(copies.values())) == 1


def test_two_ranks_from_a_list_of_hosts_are_stopped_and_go_on(env, spec, hosts, tmp_path):
    command = [SHIPPED / "mpirun.sh", hosts, spec, "--root", tmp_path / "data"]
    with running(*command, env=env) as process:
        wait_for(lambda: shards(tmp_path / "data"))
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=240)
    assert process.returncode == 4, output
    assert "stopped by SIGTERM; committed shards are kept" in output
    before = shards(tmp_path / "data")
    assert len(before) < 60
    code, output = end(*command, env=env)
    assert code == 0, output
    assert before.items() <= shards(tmp_path / "data").items()
    assert_complete(tmp_path / "data", 240)


def test_failed_samples_are_finalised_and_told(env, spec, hosts, tmp_path):
    options = ["--root", tmp_path / "data", "--set", "samples=24", "--set", HALF_NEGATIVE]
    code, output = end(SHIPPED / "mpirun.sh", hosts, spec, *options, env=env)
    assert code == 3, output
    manifest = json.loads((dataset_folder(tmp_path / "data") / "manifest.json").read_text())
    assert 0 < len(manifest["failures"]) < 24


@pytest.mark.parametrize("name", ["generate.sbatch", "array.sbatch", "mpirun.sh", "submit.sh"])
def test_nothing_to_do_is_said(name, env):
    code, output = end(SHIPPED / name, env=env)
    assert code == 2
    assert "type: " in output and "SPEC" in output


def test_a_mistake_is_not_queued_again(env, tmp_path):
    code, output = end(SHIPPED / "generate.sbatch", tmp_path / "none.yaml", env=env)
    assert code == 2, output
    assert "none.yaml" in output and "scontrol" not in output


def test_a_full_disk_is_not_queued_again(env, spec, disk):
    options = ["--root", disk("300k").path]
    code, output = end(SHIPPED / "generate.sbatch", spec, *options, env=env)
    assert code == 4, output
    assert "no space left" in output and "scontrol" not in output


class TestPbs:
    """There is no PBS: its variables are set by hand, and a stand-in notes what `qsub` gets."""

    @pytest.fixture
    def pbs(self, env, tmp_path):
        (tmp_path / "nodes").write_text("localhost\nlocalhost\n")
        (tmp_path / "bin").mkdir()
        qsub = tmp_path / "bin" / "qsub"
        qsub.write_text(f'#!/bin/bash\necho "$@" >> {tmp_path}/submitted\n')
        qsub.chmod(0o755)
        return env | {
            "PATH": f"{qsub.parent}{os.pathsep}{env['PATH']}",
            "PBS_O_WORKDIR": str(ROOT),
            "PBS_NODEFILE": str(tmp_path / "nodes"),
            "PBS_JOBID": "12.server",
            "PBS_ENVIRONMENT": "PBS_BATCH",
        }

    @pytest.fixture
    def script(self, edit, spec, tmp_path):
        """The script for the small spec."""

        def edited(seconds="$((4 * 3600 - 120))", more=""):
            arguments = f"arguments=({spec} --root {tmp_path / 'data'} {more})"
            text = (SHIPPED / "generate.pbs").read_text()
            lines = {line.split("=")[0]: line for line in text.splitlines() if "=" in line}
            changes = {lines["arguments"]: arguments, lines["seconds"]: f"seconds={seconds}"}
            return edit(generate_pbs=changes) / "generate.pbs"

        return edited

    def test_one_rank_a_line_of_the_node_file(self, pbs, script, tmp_path):
        path = script(more="--set samples=8 --set solve.ranks_per_solve=2")
        code, output = end(path, env=pbs)
        assert code == 0, output
        assert_complete(tmp_path / "data", 8)
        assert not (tmp_path / "submitted").exists()

    @pytest.mark.parametrize(("restart", "submits"), [("", "1"), ("19", "20"), ("20", None)])
    def test_a_successor_when_the_time_is_up(self, pbs, script, tmp_path, restart, submits):
        path = script(seconds=1, more="--set samples=100000")
        code, output = end(path, env=pbs | ({"RESTART": restart} if restart else {}))
        assert code not in (0, 3), output
        found = tmp_path / "submitted"
        expected = f"-v RESTART={submits} examples/batch/generate.pbs\n" if submits else ""
        assert (found.read_text() if found.exists() else "") == expected

    def test_a_mistake_has_no_successor(self, pbs, script, tmp_path):
        code, output = end(script(more="--set samples=none"), env=pbs)
        assert code == 2, output
        assert "samples" in output
        assert not (tmp_path / "submitted").exists()
