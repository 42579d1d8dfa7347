"""A SLURM cluster on this host: munged, slurmctld and slurmd for each node, with ports and folders of their own.

Nodes one and two have 12 CPUs, as many as verl requests for a worker, whatever the host has; node small has two. Each
has one GPU, which is a device file that every host has. The cluster binds tasks to cores unless a job prevents it.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path

from tests.support.ports import free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "scancel")
NODES = {"one": (12, "/dev/null"), "two": (12, "/dev/zero"), "small": (2, "/dev/full")}  # CPUs, GPU
UNFINISHED = ("PENDING", "RUNNING", "COMPLETING")
SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
TaskPluginParam=Cores
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
GresTypes=gpu
SlurmdParameters=config_overrides
FirstJobId={first_job}
KillWait=5
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    """Programs of SLURM that are not installed."""
    return [name for name in PROGRAMS if not _program(name)]


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")  # Debian's folders of daemons


def programs_path() -> str:
    """PATH of jobs: with `shotbench` and `ray` of this environment, which need not be activated."""
    return f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"


@dataclass(frozen=True)
class SlurmCluster:
    """A running cluster."""

    environment: Mapping[str, str]  # of its clients

    def run(self, *command: str | Path, **more: str) -> str:
        """Run a client and return its output."""
        environment = {**self.environment, **more}
        done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def submit(self, *arguments: str | Path, **environment: str) -> int:
        """Submit a job with `sbatch ARGUMENTS` and these variables; return its number."""
        return int(self.run("sbatch", "--parsable", *arguments, **environment))

    def job(self, number: int) -> dict[str, str]:
        """The job's properties as `scontrol show job` prints them."""
        return dict(re.findall(r"(\S+?)=(\S*)", self.run("scontrol", "--oneliner", "show", "job", str(number))))

    def wait(self, number: int, condition: Callable[[dict[str, str]], bool]) -> None:
        """Return once the job's properties fulfil the condition, which must be before its end; the test times out."""
        while not condition(properties := self.job(number)):
            assert properties["JobState"] in UNFINISHED, f"job {number} ended as {properties['JobState']}"
            time.sleep(0.5)

    def wait_for_end(self, number: int) -> dict[str, str]:
        """Properties of the ended job; a requeued one is started at once instead of after SLURM's two minutes."""
        while (properties := self.job(number))["JobState"] in UNFINISHED:
            if properties["Reason"] == "BeginTime":
                self.update(number, "StartTime=now")
            time.sleep(0.5)
        return properties

    def update(self, number: int, *changes: str) -> None:
        """Change properties of a job."""
        self.run("scontrol", "update", f"JobId={number}", *changes)


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[SlurmCluster]:
    """Start the cluster with its state in `folder`, whose path has no spaces; on leaving, end all jobs and daemons."""
    munge, conf = folder / "munge", folder / "slurm.conf"
    (folder / "state").mkdir()
    munge.mkdir(mode=0o700)
    (munge / "key").write_bytes(secrets.token_bytes(128))
    (munge / "key").chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    ports = [free_port() for _ in range(1 + len(NODES))]
    names = {"host": host, "port": ports[0], "user": getuser(), "folder": folder}
    lines = [SLURM_CONF.format(**names | {"first_job": 1 + secrets.randbelow(9000)})]
    for port, (node, (cpus, _)) in zip(ports[1:], NODES.items(), strict=True):
        lines.append(f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} Gres=gpu:1")
    conf.write_text("\n".join(lines) + "\n")
    gpus = [f"NodeName={node} Name=gpu File={device}\n" for node, (_, device) in NODES.items()]
    (folder / "gres.conf").write_text("".join(gpus))
    cluster = SlurmCluster({**os.environ, "PATH": programs_path(), "SLURM_CONF": str(conf)})
    files = [f"--{name}={munge}/{name.partition('-')[0]}" for name in ("socket", "key-file", "pid-file", "seed-file")]
    daemons = []
    try:
        daemons.append(_daemon(folder, cluster, "munged", "--foreground", "--force", *files, f"--log-file={munge}/log"))
        _wait_until((munge / "socket").exists, daemons)
        daemons.append(_daemon(folder, cluster, "slurmctld", "-D"))
        for node in NODES:
            (folder / f"spool-{node}").mkdir()
            daemons.append(_daemon(folder, cluster, "slurmd", "-D", "-N", node))
        _wait_until(lambda: _idle_nodes(cluster) == len(NODES), daemons)
        yield cluster
        cluster.run("scancel", "--user", getuser())
        _wait_until(lambda: not _running_jobs(cluster), daemons)
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()


def _daemon(folder: Path, cluster: SlurmCluster, name: str, *arguments: str) -> subprocess.Popen[bytes]:
    command: Sequence[str] = [str(_program(name)), *arguments]
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(command, env=cluster.environment, stdout=log, stderr=log, cwd=folder)


def _idle_nodes(cluster: SlurmCluster) -> int:
    shown = subprocess.run(["sinfo", "-Nh", "-t", "idle"], env=cluster.environment, capture_output=True, text=True)
    return len(shown.stdout.splitlines())


def _running_jobs(cluster: SlurmCluster) -> str:
    return cluster.run("squeue", "--noheader")


def _wait_until(condition: Callable[[], object], daemons: Sequence[subprocess.Popen[bytes]]) -> None:
    while not condition():
        ended = [daemon.args for daemon in daemons if daemon.poll() is not None]
        assert not ended, f"{ended} ended; see its log"
        time.sleep(0.2)
