"""A Slurm cluster of two nodes on this machine, started by hand in a temporary folder."""

import getpass
import os
import re
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from pipeline.launch import die_with_parent

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "sinfo")
NODES = ("one", "two")
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "OUT_OF_MEMORY"}

# Every task is bound to a core unless a script asks for something else, as many clusters have it.
CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
TaskPluginParam=Cores
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
KillWait=2
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=64000\n"
)


class CannotStart(Exception):
    """The cluster can't run here; says why."""


class Slurm:
    """The running cluster: submits, asks, signals."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.env = {"SLURM_CONF": str(folder / "slurm.conf")}

    def run(self, *command, timeout=60, env=None):
        """Run a command of Slurm and return the finished process."""
        return subprocess.run(
            [str(word) for word in command],
            env=os.environ | (env or {}) | self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def submit(self, *arguments, env):
        """`sbatch`; return the job's number."""
        done = self.run("sbatch", "--parsable", *arguments, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def jobs(self, number):
        """What `scontrol` says of a job, or of the tasks of an array: a dictionary each."""
        done = self.run("scontrol", "--oneliner", "show", "job", number)
        assert done.returncode == 0, done.stderr
        return [dict(re.findall(r"(\w+)=(\S*)", line)) for line in done.stdout.splitlines() if line]

    def job(self, number):
        """The one job of that number: `12` or, of an array, `12_3`."""
        (job,) = self.jobs(number)
        return job

    def signal(self, number, name="TERM"):
        """What the time limit does: the signal goes to the script alone, not to its children."""
        done = self.run("scancel", "--batch", f"--signal={name}", number)
        assert done.returncode == 0, done.stderr

    def begin_now(self, number):
        """Slurm keeps what is requeued for two minutes: don't wait for that.

        But for three seconds: a job is refused in the second in which it was taken off a node.
        """
        done = self.run("scontrol", "update", f"JobId={number}", "StartTime=now+3seconds")
        assert done.returncode == 0, done.stderr

    def wait(self, number, condition, seconds=240):
        """Wait until all jobs of a number fulfil the condition; return them."""
        end = time.monotonic() + seconds
        while True:
            found = self.jobs(number)
            if all(map(condition, found)):
                return found
            assert time.monotonic() < end, f"waited in vain: {found}"
            time.sleep(0.2)

    def wait_for_end(self, number, seconds=240):
        """Wait until all jobs of a number have ended; return their states and exit codes."""
        found = self.wait(number, lambda job: job["JobState"] in ENDED, seconds)
        return sorted((job["JobState"], job["ExitCode"].partition(":")[0]) for job in found)

    def cancel_all(self, seconds=20):
        """Leave nothing in the queue or running: jobs outlive the daemons."""
        self.run("scancel", f"--user={getpass.getuser()}")
        end = time.monotonic() + seconds
        while self.run("squeue", "-h").stdout and time.monotonic() < end:
            time.sleep(0.2)


def started(folder: Path, stack: ExitStack) -> Slurm:
    """Start the cluster; its daemons end with the stack, or with this process.

    Raises:
        CannotStart: A program is missing, or no node became idle.
    """
    if missing := [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]:
        raise CannotStart(f"{', '.join(missing)} not found; `make slurm` installs them")
    _configure(folder)
    slurm = Slurm(folder)
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(1024))
    files = {"key-file": key.name, "socket": "munge.socket", "pid-file": "munged.pid"}
    files |= {"log-file": "munged.log", "seed-file": "munged.seed"}
    _daemon(
        stack, slurm, "munged", "-F", "--force", *(f"--{k}={folder / v}" for k, v in files.items())
    )
    _until(lambda: (folder / "munge.socket").exists(), folder)
    _daemon(stack, slurm, "slurmctld", "-D")
    for name in NODES:
        _daemon(stack, slurm, "slurmd", "-D", "-N", name)
    _until(lambda: slurm.run("sinfo", "-h", "-o", "%T %D").stdout.split() == ["idle", "2"], folder)
    stack.callback(slurm.cancel_all)
    return slurm


def _munge_options(folder: Path) -> list[str]:
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(1024))
    files = {"key-file": key.name, "socket": "munge.socket", "pid-file": "munged.pid"}
    files |= {"log-file": "munged.log", "seed-file": "munged.seed"}
    return ["--foreground", "--force", *(f"--{k}={folder / v}" for k, v in files.items())]


def _configure(folder: Path) -> None:
    values = {"host": socket.gethostname().partition(".")[0], "user": getpass.getuser()}
    text = CONFIGURATION.format(folder=folder, port=_free_port(), **values)
    text += "".join(NODE.format(name=n, port=_free_port(), **values) for n in NODES)
    text += f"PartitionName=all Nodes={','.join(NODES)} Default=YES MaxTime=INFINITE State=UP\n"
    (folder / "slurm.conf").write_text(text)
    (folder / "state").mkdir()


def _daemon(stack: ExitStack, slurm: Slurm, name: str, *arguments: str) -> None:
    program = shutil.which(name, path=_path())
    with open(slurm.folder / f"{name}.out", "a") as output:
        process = subprocess.Popen(
            die_with_parent([program, *arguments], os.getpid()),
            env=os.environ | slurm.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    stack.callback(_end, process)


def _end(process) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    process.kill()
    process.wait()


def _until(condition, folder: Path, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            said = "\n".join(p.read_text()[-1500:] for p in sorted(folder.glob("*.[lo][ou][gt]")))
            raise CannotStart(f"no answer after {seconds:g} s:\n{said}")
        time.sleep(0.1)


def _free_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def cluster_or_skip(folder: Path, stack: ExitStack) -> Slurm:
    """The cluster, or a skipped test with the reason."""
    try:
        return started(folder, stack)
    except CannotStart as error:
        pytest.skip(f"no Slurm here: {error}")
