"""The command line as a whole: commands of other packages, errors in one line, interruptions, pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lmms_eval_shotbench import __version__
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.progress import is_quiet
from tests.support import REPOSITORY
from tests.support.interrupted_command import interrupted

COMMANDS = """
import typer

app = typer.Typer()

@app.command()
def transcribe(shots: str = "none"):
    "Transcribe shots."
    print("transcribed", shots)
"""
GROUP = """
import typer

app = typer.Typer(help="Transcribe shots and films.")

@app.command()
def shots():
    raise RuntimeError("no shots here")

@app.command()
def films():
    raise typer.Exit(3)
"""


def installed_package(folder: Path, module: str) -> dict[str, str]:
    """Environment in which a package is installed that registers `transcribe_shots:app`; `module` is its code."""
    metadata = folder / "transcribe_shots-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: transcribe-shots\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[shotbench.commands]\ntranscribe = transcribe_shots:app\n")
    (folder / "transcribe_shots.py").write_text(module)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)])}


def shotbench(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lmms_eval_shotbench.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_another_package_adds_a_command(tmp_path: Path) -> None:
    environment = installed_package(tmp_path, COMMANDS)
    finished = shotbench(environment, "transcribe", "--shots", "all", "--debug")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "transcribed all\n", "")
    listed = shotbench(environment, "--help").stdout
    assert "transcribe" in listed and "Transcribe shots." in listed


def load_in_this_process(folder: Path, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installed_package(folder, module)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "transcribe_shots", raising=False)


def test_another_package_adds_a_group_whose_errors_are_reported_as_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load_in_this_process(tmp_path, GROUP, monkeypatch)
    assert main(["transcribe", "shots"]) == 2
    assert capsys.readouterr().err == "shotbench: no shots here\n"
    assert main(["transcribe", "films"]) == 3


@pytest.mark.parametrize("module", ["import absent_library", "raise ValueError('broken')", "app = print", "other = 1"])
def test_a_package_whose_commands_cannot_be_loaded_costs_only_these(
    tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load_in_this_process(tmp_path, module, monkeypatch)
    assert main(["score", "--help"]) == 0
    assert "Usage: shotbench score" in capsys.readouterr().out
    for arguments, status in (["--help"], 0), (["transcribe"], 2):
        assert main(arguments) == status
        printed = capsys.readouterr()
        assert ("refineshot" in printed.out) == (status == 0)
        assert "the commands of 'transcribe' (transcribe_shots:app) cannot be loaded: " in printed.err
        assert len(printed.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "q", "r", "--proto", "strict"], "no option --proto; write it in full: --protocol"),
        (["score", "q", "r", "--judge", "x"], "write it in full: --judge-cache or --judge-model or --judge-url"),
        (["train", "sft", "--rec=3b"], "no option --rec; write it in full: --recipe"),
        (["data", "films", "--tabel", "t"], "no such option: --tabel (Possible options: "),
        (["data", "films", "F", "--table", "--out", "o"], "--table needs a value; if it is --out, write --table=--out"),
        (["data", "studio", "--out"], "--out needs a value; see shotbench data studio --help"),
        (["score", "q"], "missing argument 'RESPONSES'"),
        (["report", "a"], "missing option '--out'"),
        (["score", "q", "r", "--format", "xml"], "'xml' is not one of 'table', 'json', 'csv'"),
        (["data", "studio", "--out", "o", "--films", "many"], "'--films'"),
        (["scroe"], "no command 'scroe'; did you mean score?"),
        (["data", "film"], "no command 'film'; did you mean films?"),
        (["--colour", "score"], "no such option: --colour"),
        (["tasks-path", "extra"], "unexpected extra argument(s) (extra)"),
        (["score", "absent.tsv", "r"], "absent.tsv"),
        (["compare", "absent", "gone"], "absent"),
        (["data", "audit", "absent"], "absent"),
        (["train", "merge", "absent"], "absent"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_ends_in_one_line_that_names_it(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.startswith("shotbench: ") and not captured.out
    assert len(captured.err.splitlines()) == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("position", [0, 1, 3])
def test_debug_shows_the_traceback_of_an_error(position: int, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["score", "absent.tsv", "responses.jsonl"]
    arguments.insert(position, "--debug")
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("Traceback") and printed.splitlines()[-1].startswith("shotbench: ")
    assert main(["score", "absent.tsv", "responses.jsonl"]) == 2  # a later call without it shows none
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("position", [0, 1, 3])
def test_progress_is_hidden_for_one_command(position: int) -> None:
    arguments = ["score", "absent.tsv", "responses.jsonl"]
    arguments.insert(position, "--quiet")
    assert main(arguments) == 2
    assert not is_quiet()  # what the process does next shows its progress


@pytest.mark.parametrize("group", [[], ["data"], ["train"]], ids=" ".join)
def test_a_group_without_a_command_prints_its_help(group: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(group) == 2
    assert capsys.readouterr().out.startswith(" ".join(["Usage: shotbench", *group]))


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"shotbench {__version__}\n"


def test_help_piped_to_a_reader_that_stops_gives_no_traceback() -> None:
    command = f"{sys.executable} -m lmms_eval_shotbench.cli data films --help | head -n 1"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    finished = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True)
    assert finished.stdout == "Usage: shotbench data films [OPTIONS] FILMS\n" and not finished.stderr


@pytest.mark.parametrize(
    "module", ["typer", "lmms_eval_shotbench.commands.groups", "lmms_eval_shotbench.commands.audit"]
)
def test_an_interruption_during_the_start_ends_with_one_line_and_status_130(module: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class InterruptImport:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, InterruptImport())\n"
    )
    command = [sys.executable, "-m", "lmms_eval_shotbench.cli", "audit", "questions.tsv"]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr == "shotbench: interrupted; nothing was written\n"


@pytest.mark.parametrize(
    "late",
    [
        # The main thread has begun to wait for this one: before, nothing ends its wait.
        "threading.Thread(target=lambda: (threading.main_thread().join(), time.sleep(0.5), kill(), time.sleep(60)))"
        ".start()",
        "atexit.register(kill)",
        "sys.freed_last = type('FreedLast', (), {'__del__': lambda self, kill=kill: kill()})()",
    ],
)
def test_an_interruption_while_the_program_ends_changes_nothing(late: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, os, signal, sys, threading, time\n"
        # To the main thread, as from a terminal: a signal that another thread happens to get does not end a wait.
        "kill = lambda kill=signal.pthread_kill, main=threading.get_ident(), which=signal.SIGINT: kill(main, which)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"{late}\n"
    )
    command = [sys.executable, "-m", "lmms_eval_shotbench.cli", "--version"]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"shotbench {__version__}\n", "")


@pytest.mark.slow
def test_an_interruption_states_in_one_line_what_is_kept_and_the_same_command_continues(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    arguments = ["data", "studio", "--out", "studio", "--films", "2", "--width", "64", "--workers", "0"]

    def rendered() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in tmp_path.glob(".studio.*.shots/**/*.json")}

    ended = interrupted(arguments, lambda: bool(rendered()), tmp_path)
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr == (
        "shotbench: interrupted; shots that are rendered are kept, and the same command continues with the others\n"
    )
    kept = rendered()
    assert kept
    again = interrupted(arguments, lambda: len(rendered()) > len(kept), tmp_path)
    assert again.returncode == 130 and rendered().items() > kept.items()


@pytest.mark.host
def test_an_interrupted_evaluation_names_the_responses_that_are_kept(
    studio_shards: Path, tiny_model: Path, tmp_path: Path
) -> None:
    arguments = ["eval", "--tasks", "shotbench", "--data", str(studio_shards), "--out", "out", "--model", "shotvl"]
    arguments += ["--model_args", f"pretrained={tiny_model},device=cpu", "--verbosity", "WARNING"]
    ended = interrupted(arguments, lambda: any(tmp_path.glob("out/responses/*")), tmp_path)
    assert ended.returncode == 130
    assert ended.stderr.splitlines()[-1] == (
        "shotbench: interrupted; the responses so far are in out/responses, and the same command continues from there"
    )
    assert "Traceback" not in ended.stderr
