"""Presets: valid files, what they give an evaluation, and what the command line gives instead."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("yaml")

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.harness.apply_preset import apply_preset
from lmms_eval_shotbench.harness.eval_plan import EvalRequest, EvaluationError, Pass, plan_passes, resolve_tasks
from lmms_eval_shotbench.harness.passed_on import max_new_tokens, value_of
from lmms_eval_shotbench.harness.presets import PresetError, preset_names, read_preset
from lmms_eval_shotbench.media.clips import CLIP_FPS
from lmms_eval_shotbench.model_args import parse_model_args
from lmms_eval_shotbench.report.published import published_rows
from lmms_eval_shotbench.vocabulary import slugs
from tests.support.openai_server import Endpoint, serve

NAMES = preset_names()
SMALL = """\
model: async_openai
model_args: {model: m, fps: 12, extra: {a: 1}}
max_new_tokens: 9000
batch_size: 4
stills: {as: picture}
clips: {as: pictures, fps: 12, model_args: {max_pixels: 20000}}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


def request_of(model: str = "", model_args: str = "", tasks: str = "shotbench", **more: Any) -> EvalRequest:
    return EvalRequest(tasks, "data", Path("out"), Path("out"), model, model_args, **more)


def plan_of(request: EvalRequest) -> list[Pass]:
    return plan_passes(request, *resolve_tasks(request.tasks, set(slugs())))


# ------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_is_valid_and_named_after_its_file(name: str) -> None:
    preset = read_preset(name)
    assert preset.name == name
    assert preset.family or preset.api_key or name == "vllm", "no family of models, and no API"


def test_every_model_of_the_papers_table_has_one_preset() -> None:
    papers = [preset.paper for preset in map(read_preset, NAMES) if preset.paper]
    assert sorted(papers) == sorted({row.model for row in published_rows()})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("max_new_tokens", "max_tokens"), "small.yaml: unknown key max_tokens; known are model, stills, clips"),
        (("as: picture}", "as: picture, size: 3}"), "small.yaml, stills: unknown key size; known are as, fps"),
        (("9000", "many"), "max_new_tokens cannot be 'many'"),
        (("9000", "true"), "max_new_tokens cannot be True"),
        (("9000", "0"), "max_new_tokens must be positive, not 0"),
        (("model: async_openai\n", ""), "small.yaml: model is missing"),
        (("stills: {as: picture}\n", ""), "small.yaml: stills is missing"),
        (("as: pictures,", "as: film,"), "clips: as is one of picture, pictures, video, nothing, not film"),
        (("fps: 12, model", "fps: 12, frames: 8.5, model"), "clips: frames cannot be 8.5"),
        (("{as: picture}", "{as: video}"), "stills: a still is shown as one picture, or as nothing"),
        (("{as: picture}", "picture"), "stills cannot be 'picture'"),
        (("{as: picture}", "[picture"), "small.yaml is not valid YAML"),
        (("{a: 1}", "'x,y'"), "model_args: lmms-eval would split extra=x,y; put quotes around its commas"),
        (("max_pixels: 20000", "max_pixels: null"), "clips: model_args: null is possible only for both"),
        ((SMALL, "- one\n- two\n"), "a mapping is expected, not ['one', 'two']"),
        ((SMALL, ""), "a mapping is expected, not None"),
    ],
)
def test_an_invalid_preset_is_refused_by_file_and_key(change: tuple[str, str], message: str, small: Path) -> None:
    assert change[0] in SMALL
    small.write_text(SMALL.replace(*change), encoding="utf-8")
    with pytest.raises(PresetError) as refused:
        read_preset(str(small))
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_an_unknown_preset_is_refused_with_similar_names(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match="no preset InternVL3-8; did you mean internvl3-8b, "):
        read_preset("InternVL3-8")
    with pytest.raises(PresetError, match="no preset zzzzzz; `shotbench presets` lists them"):
        read_preset("zzzzzz")
    with pytest.raises(PresetError, match=r"missing.yaml cannot be read: No such file or directory"):
        read_preset(str(tmp_path / "missing.yaml"))


# ------------------------------------------------------------------------------------------- preset and command line


def test_a_preset_gives_model_arguments_limit_and_batch_size(small: Path) -> None:
    request = apply_preset(read_preset(str(small)), request_of(passed_on=["--seed", "1"]))
    assert (request.preset, request.model) == ("small", "async_openai")
    assert parse_model_args(request.model_args) == {"model": "m", "fps": "12", "extra": '{"a": 1}'}
    assert (request.stills_args, request.clips_args) == ({}, {"max_pixels": "20000"})
    assert request.passed_on == ["--batch_size", "4", "--seed", "1", "--gen_kwargs", "max_new_tokens=9000"]
    assert max_new_tokens(request.passed_on) == 9000


def test_values_on_the_command_line_win_key_by_key(small: Path) -> None:
    own = request_of("async_openai", "fps=3,max_pixels=7,timeout=9", passed_on=["-b", "2"])
    request = apply_preset(read_preset(str(small)), own)
    assert parse_model_args(request.model_args) == {
        "model": "m",
        "extra": '{"a": 1}',
        "fps": "3",
        "max_pixels": "7",
        "timeout": "9",
    }
    assert request.clips_args == {} and value_of(request.passed_on, "--batch_size") is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--gen_kwargs", "temperature=1"], {"temperature": "1", "max_new_tokens": "9000"}),
        (["--gen_kwargs=temperature=1,seed=3"], {"temperature": "1", "seed": "3", "max_new_tokens": "9000"}),
        (["--gen_kwargs", "max_new_tokens=64"], {"max_new_tokens": "64"}),
    ],
)
def test_generation_settings_of_the_command_line_are_kept(
    given: list[str], expected: dict[str, str], small: Path
) -> None:
    request = apply_preset(read_preset(str(small)), request_of(passed_on=given))
    assert parse_model_args(value_of(request.passed_on, "--gen_kwargs") or "") == expected


def test_another_model_than_that_of_the_preset_is_refused(small: Path) -> None:
    with pytest.raises(PresetError, match="preset small is for --model async_openai, not vllm; leave out --model or"):
        apply_preset(read_preset(str(small)), request_of("vllm"))


def test_a_choice_that_the_preset_leaves_open_and_a_missing_key_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    server = read_preset("openai-compatible")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(PresetError, match=r"needs an API key in \$OPENAI_API_KEY"):
        apply_preset(server, request_of(model_args="model=x"))
    assert apply_preset(server, request_of(model_args="model=x,api_key=k")).model == "async_openai"
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    with pytest.raises(PresetError, match="leaves a choice to you: --model_args model=…"):
        apply_preset(server, request_of())
    arguments = parse_model_args(apply_preset(server, request_of(model_args="model=x,base_url=y")).model_args)
    assert arguments == {"model": "x", "base_url": "y", "num_cpus": "16"}


def test_model_or_preset_is_required_and_an_error_ends_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    required = ["eval", "--tasks", "shotbench", "--out", str(tmp_path / "out")]
    config = tmp_path / "config.yaml"
    config.write_text("gen_kwargs: temperature=1\nbatch_size: 2\n", encoding="utf-8")
    for more, message in (
        ([], "missing option --model, or --preset with the name of a known model"),
        (["--preset", "gpt4o"], "no preset gpt4o; did you mean gpt-4o"),
        (["--preset", "shotvl-3b", "--model", "vllm"], "preset shotvl-3b is for --model shotvl, not vllm"),
        (["--preset", "shotvl-3b", "--config", str(config)], "sets batch_size, gen_kwargs; give them on the command"),
    ):
        assert main([*required, *more]) == 2
        printed = capsys.readouterr().err
        assert message in printed and printed.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_presets_are_listed_and_each_can_be_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == NAMES
    assert header.split() == ["preset", "--model", "tokens", "stills", "clips", "published"]
    assert next(row for row in rows if row.startswith("gpt-4o ")).endswith("59.3")
    assert main(["presets", "internvl2.5-8b"]) == 0
    copy = tmp_path / "mine.yaml"
    copy.write_text(capsys.readouterr().out, encoding="utf-8")
    assert read_preset(str(copy)) == replace(read_preset("internvl2.5-8b"), name="mine")


# ------------------------------------------------------------------------------------------- models without lmms-eval


def model_in(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every model name mean a class of this module of lmms-eval."""

    class Model:
        def __init__(
            self, pretrained: str, max_frames: int = 768, max_frame_num: int = 768, max_num_frames: int = 768
        ) -> None: ...

    Model.__module__ = f"lmms_eval.models.{module}"
    monkeypatch.setattr("lmms_eval_shotbench.harness.eval_plan.find_model_class", lambda *_: Model)


@pytest.mark.parametrize(
    ("module", "refused", "message"),
    [
        ("simple.vila", "shotbench_lens_size", "be shown a still: lmms-eval shows it black frames"),
        ("simple.llava_vid", "shotbench_lens_size", "be shown a still: lmms-eval opens every medium as a clip"),
        ("simple.video_llava", "shotbench_lens_size", "be shown a still: lmms-eval opens every medium as a clip"),
        ("simple.instructblip", "shotbench_camera_movement", "be shown a clip: lmms-eval opens every medium as"),
        ("simple.glm4v", "shotbench_camera_movement", "--model huggingface shows it clips"),
        ("simple.mistral3_vl", "shotbench_camera_movement", "be shown a clip: lmms-eval leaves clips out"),
    ],
)
def test_a_medium_that_lmms_eval_cannot_show_the_model_is_refused_before_the_run(
    module: str, refused: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_in(module, monkeypatch)
    other = ({"shotbench_lens_size", "shotbench_camera_movement"} - {refused}).pop()
    assert len(plan_of(request_of("it", tasks=other))) == 1
    with pytest.raises(EvaluationError) as error:
        plan_of(request_of("it", tasks=f"{refused},{other}"))
    assert message in str(error.value) and f"ask only --tasks {other}" in str(error.value)


@pytest.mark.parametrize("module", ["internvl2", "internvl3", "internvl3_5", "xcomposer2d5"])
def test_models_that_take_clips_with_a_switch_only_get_it_for_clips(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_in(f"simple.{module}", monkeypatch)
    stills, clips = plan_of(request_of("it", "pretrained=x"))
    assert (stills.model_args, clips.model_args) == ("pretrained=x", "pretrained=x,modality=video")
    assert plan_of(request_of("it", "modality=image"))[1].model_args == "modality=image"


def test_a_preset_s_arguments_for_one_kind_of_media_stay_in_its_pass(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_in("chat.async_openai", monkeypatch)
    stills, clips = plan_of(apply_preset(read_preset(str(small)), request_of()))
    assert "max_pixels" not in parse_model_args(stills.model_args)
    assert parse_model_args(clips.model_args)["max_pixels"] == "20000"


@pytest.mark.parametrize("limit", [64, 9000])
def test_vllm_gets_the_limit_in_effect_as_an_argument_because_it_takes_the_larger_of_both(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_in("chat.vllm", monkeypatch)
    for one in plan_of(request_of("it", passed_on=["--gen_kwargs", f"max_new_tokens={limit}"])):
        assert parse_model_args(one.model_args)["max_new_tokens"] == str(limit)
    with pytest.raises(ValueError, match="--gen_kwargs max_new_tokens=few: a number of tokens is expected"):
        plan_of(request_of("it", passed_on=["--gen_kwargs", "max_new_tokens=few"]))


# ----------------------------------------------------------------------------------------------- models of lmms-eval

ENGINE = {"mm_processor_kwargs", "max_model_len"}  # passed on to vLLM's engine, which is not installed here


@pytest.fixture(scope="module")
def classes() -> dict[str, set[str]]:
    """Names of the constructor's arguments of each model that a preset has, read from the source where necessary."""
    pytest.importorskip("lmms_eval")
    from lmms_eval.models import MODEL_REGISTRY_V2

    found = {}
    for model in {read_preset(name).model for name in NAMES}:
        module, _, name = MODEL_REGISTRY_V2.resolve(model).class_path.rpartition(".")
        found[model] = set(constructor_of(module, name))
    return found


def constructor_of(module: str, name: str) -> Iterator[str]:
    """Names of the arguments of a class's constructor and of those of its base classes, without importing them."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    (found,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    for node in found.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            yield from (one.arg for one in (*node.args.args, *node.args.kwonlyargs))
    for base in map(ast.unparse, found.bases):
        if base != "lmms" and base in imported:
            yield from constructor_of(*imported[base])


@pytest.mark.host
@pytest.mark.parametrize("name", NAMES)
def test_the_model_of_a_preset_exists_in_lmms_eval_and_accepts_its_arguments(
    name: str, classes: dict[str, set[str]]
) -> None:
    preset = read_preset(name)
    given = preset.model_args.keys() | preset.stills.model_args.keys() | preset.clips.model_args.keys()
    accepted = classes[preset.model] | (ENGINE if preset.model == "vllm" else set())
    assert given <= accepted, f"{given - accepted} of {preset.model}"


@pytest.mark.host
@pytest.mark.parametrize("name", NAMES)
def test_a_clip_is_shown_to_a_model_as_its_preset_states(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame rate, number and size of frames are those of the plan, or the defaults of the model's class."""
    pytest.importorskip("lmms_eval")
    from lmms_eval.models import get_model

    from lmms_eval_shotbench.harness.backends import constructor_arguments
    from lmms_eval_shotbench.harness.lmms_eval import prepare_harness

    prepare_harness()
    preset = read_preset(name)
    try:
        model_class = get_model(preset.model)
    except ImportError:
        pytest.skip(f"{preset.model} needs packages that are not installed here")
    monkeypatch.setattr("lmms_eval_shotbench.harness.eval_plan.find_model_class", lambda *_: model_class)
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    chosen = ",".join(f"{key}=x" for key, value in preset.model_args.items() if value is None)
    request = apply_preset(preset, request_of(model_args=chosen, tasks="shotbench_camera_movement"))
    if preset.clips.shown_as == "nothing":
        with pytest.raises(EvaluationError, match="cannot be shown a clip"):
            plan_of(request)
        return
    (clips,) = plan_of(request)
    settings = constructor_arguments(model_class) | parse_model_args(clips.model_args)
    copies = [CLIP_FPS] if clips.resample_clips else []
    assert preset.clips.fps in (None, *stated(settings, "fps", "video_fps"), *copies) or preset.model == "xcomposer2d5"
    assert preset.clips.frames in (None, *stated(settings, *COUNTS)) or preset.model == "xcomposer2d5"
    limits = stated(settings, "video_max_pixels", "max_pixels")
    assert preset.clips.pixels in limits or preset.clips.pixels is None or clips.resample_clips


COUNTS = ("num_frame", "num_frames", "max_frames_num", "max_num_frames", "nframes")


def stated(settings: dict[str, Any], *names: str) -> list[float]:
    return [float(settings[name]) for name in names if settings.get(name) is not None]


@pytest.mark.host
@pytest.mark.parametrize(("more", "limit"), [((), 9000), (("--gen_kwargs", "max_new_tokens=50"), 50)])
def test_the_limit_of_a_preset_reaches_the_server_and_responses_cut_there_are_counted(
    more: tuple[str, ...], limit: int, small: Path, studio_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai")
    from tests.harness.test_lmms_eval import read_scores

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    monkeypatch.setenv("SHOTBENCH_CACHE", str(tmp_path / "cache"))
    small.write_text(SMALL.replace(", extra: {a: 1}", ", num_cpus: 1"), encoding="utf-8")
    out, tasks = tmp_path / "out", "shotbench_shot_size,shotbench_camera_movement"
    with serve(Endpoint(completion_tokens=limit)) as endpoint:
        arguments = ["--tasks", tasks, "--data", str(studio_shards), "--out", str(out), "--preset", str(small)]
        arguments += ["--model_args", f"base_url={endpoint.url}", "--limit", "1", "--verbosity", "WARNING", *more]
        assert main(["eval", *arguments]) == 0
    assert {request.body["max_tokens"] for request in endpoint.requests} == {limit}
    scores = read_scores(out)
    assert scores["response_counts"]["cut_at_limit"] == 2
    run = scores["run"]
    assert (run["preset"], run["model"]) == ("small", "async_openai")
    assert parse_model_args(run["passes"]["clips"]["model_args"])["max_pixels"] == "20000"
    assert f"max_new_tokens={limit}" in run["passed_on"]


@pytest.mark.host
@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_a_missing_package_is_reported_with_the_command_of_the_preset(
    studio_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lmms_eval")
    arguments = ["--tasks", "shotbench", "--data", str(studio_shards), "--out", str(tmp_path / "out")]
    assert main(["eval", *arguments, "--preset", "internvl2.5-8b"]) == 2
    printed = capsys.readouterr().err
    assert printed == "shotbench: preset internvl2.5-8b needs more packages: pip install vllm==0.24.0\n"
