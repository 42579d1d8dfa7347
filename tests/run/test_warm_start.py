"""Processes forked from one that has imported torch: their arguments, environment, streams and exit statuses."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from verl_recipes.run.forked_worker import SOCKET_VARIABLE
from verl_recipes.run.warm_start import PY_EXECUTABLE

WITHOUT_PRELOADING = (
    "import sys; from verl_recipes.run.warm_start import run_trainer; sys.exit(run_trainer(sys.argv[1:]))"
)
# The first process goes on only after the trainer has begun, as on a busy machine.
SLOW_FORK = """
import os, time
fork = os.fork
def slow_fork():
    if process := fork():
        time.sleep(0.5)
    return process
os.fork = slow_fork
"""
# The new process begins only after the first one was killed.
KILLING_FORK = """
import os, time
fork = os.fork
def killing_fork():
    process = fork()
    if not process:
        os.kill(os.getppid(), 9)
        time.sleep(0.5)
    return process
os.fork = killing_fork
"""


def started(folder: Path, trainer: str, *arguments: str, before: str = "") -> subprocess.Popen[str]:
    """Start a trainer, a module with this text, from a process that has imported nothing in advance."""
    (folder / "trainer.py").write_text(textwrap.dedent(trainer))
    command = [sys.executable, "-c", before + WITHOUT_PRELOADING, "trainer", *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)])}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("pass", 0),
        ("sys.exit(3)", 3),
        ("sys.exit('no data')", 1),
        ("raise ValueError", 1),
        ("os.kill(os.getpid(), 9)", 137),
    ],
)
def test_the_exit_status_is_the_trainers(tmp_path: Path, ending: str, status: int) -> None:
    trainer = started(tmp_path, f"import os, sys\nassert sys.argv[1:] == ['a', 'b c']\n{ending}\n", "a", "b c")
    _, errors = trainer.communicate()
    assert trainer.returncode == status, errors


def test_a_trainer_ends_as_a_python_process_does(tmp_path: Path) -> None:
    trainer = started(
        tmp_path,
        """
        import atexit, sys, threading
        atexit.register(print, "at exit")
        threading.Timer(0.2, print, ["thread"], {"end": " "}).start()
        print("buffered", end=" ")
        sys.exit("no data")
        """,
    )
    assert trainer.communicate() == ("buffered thread at exit\n", "no data\n")


def test_a_worker_has_the_arguments_environment_folder_and_streams_of_its_request(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(
        textwrap.dedent(
            """
            import os, sys
            assert __name__ == "__main__"
            print(os.getppid(), sys.argv[1:], sys.stdin.read(), os.getcwd(), flush=True)
            print(len(os.environ["LARGE_1"]), "REMOVED" in os.environ, file=sys.stderr)
            """
        )
    )
    (tmp_path / "folder").mkdir()
    trainer = started(
        tmp_path,
        f"""
        import os, subprocess
        os.environ["REMOVED"] = "so far"
        environment = os.environ | {{f"LARGE_{{n}}": "x" * 100_000 for n in range(5)}}  # more than one message
        del environment["REMOVED"]
        command = {shlex.split(PY_EXECUTABLE)!r} + [{str(tmp_path / "worker.py")!r}, "a", "b c"]
        read, write = os.pipe()
        subprocess.run(
            command, check=True, env=environment, cwd={str(tmp_path / "folder")!r}, input=b"asked",
            stdout=write, stderr=write,
        )
        os.close(write)
        print(open(read).read(), end="")
        """,
    )
    out, errors = trainer.communicate()
    assert trainer.returncode == 0, errors
    assert out == f"{trainer.pid} ['a', 'b c'] asked {tmp_path / 'folder'}\n100000 False\n"


@pytest.mark.parametrize("sent", [b"", b'{"arguments": ['])
def test_an_incomplete_request_is_ignored(tmp_path: Path, sent: bytes) -> None:
    (tmp_path / "worker.py").write_text("print('served')")
    trainer = started(
        tmp_path,
        f"""
        import os, socket, subprocess
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect("\\0" + os.environ[{SOCKET_VARIABLE!r}])
            connection.sendall({sent!r})
        read, write = os.pipe()
        command = {shlex.split(PY_EXECUTABLE)!r} + [{str(tmp_path / "worker.py")!r}]
        subprocess.run(command, stdout=write, check=True)
        os.close(write)
        print(open(read).read())
        """,
    )
    assert "served" in trainer.communicate()[0]


@pytest.mark.slow
def test_workers_draw_different_random_numbers(tmp_path: Path) -> None:
    draw = 'import numpy, os, random; os.write(1, f"{numpy.random.random()} {random.random()}\\n".encode())'
    (tmp_path / "worker.py").write_text(draw)  # one write, as the workers share a pipe
    trainer = started(
        tmp_path,
        f"""
        import os, subprocess, numpy
        read, write = os.pipe()
        command = {shlex.split(PY_EXECUTABLE)!r} + [{str(tmp_path / "worker.py")!r}]
        for _ in range(3):
            subprocess.run(command, stdout=write, check=True)
        os.close(write)
        print(open(read).read())
        """,
    )
    numbers = trainer.communicate()[0].split()
    assert len(set(numbers)) == len(numbers) == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_trainer_ends_when_the_first_process_is_terminated_or_killed(
    tmp_path: Path, number: signal.Signals
) -> None:
    first = started(tmp_path, "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n")
    assert first.stdout is not None
    trainer = psutil.Process(int(first.stdout.readline()))
    first.send_signal(number)
    assert first.wait() in (128 + signal.SIGTERM, -signal.SIGKILL)
    psutil.wait_procs([trainer])
    assert not trainer.is_running()


def test_a_signal_to_the_first_process_reaches_a_trainer_that_has_just_begun(tmp_path: Path) -> None:
    signalling = "import os, time\nos.kill(os.getppid(), 15)\ntime.sleep(600)\n"
    assert started(tmp_path, signalling, before=SLOW_FORK).wait(60) == 128 + signal.SIGTERM


def test_a_trainer_whose_first_process_is_killed_before_it_begins_does_not_begin(tmp_path: Path) -> None:
    first = started(tmp_path, "print('began')", before=KILLING_FORK)
    output, _ = first.communicate(timeout=60)  # of both processes
    assert (first.returncode, output) == (-signal.SIGKILL, "")


@pytest.mark.verl
@pytest.mark.ray  # shares the process from which runs on Ray are forked
def test_neither_ray_nor_verl_nor_wandb_is_imported_before_a_fork(
    shared_preload: tuple[str, ...], tmp_path: Path
) -> None:
    configurations = "transformers.models.gemma3n.configuration_gemma3n"  # the one that imports timm
    names = ("ray", "verl", "wandb", "torch", configurations)
    (tmp_path / "trainer.py").write_text(f"import sys\nprint([name for name in {names} if name in sys.modules])\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([*shared_preload, "trainer"], env=environment, capture_output=True, text=True)
    assert done.stdout == f"['torch', '{configurations}']\n", done.stderr
