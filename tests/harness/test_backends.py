"""Stills and clips that backends receive: runs the commands of docs/backends.md and inspects the requests."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.host
pytest.importorskip("lmms_eval")
pytest.importorskip("openai")

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.harness.backends import (
    CHECKED,
    BackendUnavailable,
    clip_settings,
    constructor_arguments,
    find_model_class,
)
from lmms_eval_shotbench.media.clips import CLIP_FPS, CLIP_MAX_PIXELS, sampled_frames
from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.prompts import REASONING, user_text
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.harness.test_lmms_eval import isolated_caches, questions, read_scores, run_eval  # noqa: F401
from tests.support import REPOSITORY
from tests.support.openai_server import ANSWER, HANG_UP, Endpoint, Request, serve

NO_WAITING = "max_retries=1,retry_backoff_s=0,num_cpus=1"  # no back-off, one request at a time
FRAMES = (24, 26, 28)  # possible frame counts of a studio clip at 12 a second
ROUNDED = 28  # qwen_vl_utils rounds frame sides to multiples of this


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    monkeypatch.delenv("LMMS_IMAGE_ENCODE_FORMAT", raising=False)
    with serve(Endpoint()) as endpoint:
        yield endpoint


@dataclass(frozen=True)
class Documented:
    """A `shotbench eval` command of docs/backends.md."""

    words: list[str]

    def run(self, data: Path, out: Path, url: str = "", *more: str) -> int:
        """Run the command with its data, output and server replaced."""
        paths = {"shards/shotbench": str(data), self.words[self.words.index("--out") + 1]: str(out)}
        words = [paths.get(word, word).replace("http://localhost:8000/v1", url) for word in self.words]
        return main(["eval", *words, "--limit", "1", "--verbosity", "WARNING", *more])


def documented(model: str, variant: str = "") -> Documented:
    text = (REPOSITORY / "docs" / "backends.md").read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"^(?:OPENAI_API_KEY=EMPTY )?shotbench eval (.*)$", text, re.MULTILINE)
    (command,) = (one for one in commands if f"--model {model} " in one and ("pass_video" in one) == bool(variant))
    return Documented(shlex.split(command))


def question_of(request: Request, studio_shards: Path, questions: list[QAItem]) -> QAItem:  # noqa: F811
    """Return the question with the request's text and, if several have it, with the request's picture."""
    items = [item for item in questions if user_text(item) == request.user[-1]["text"]]
    if len(items) > 1:
        shards, (shown,) = ShardFolder(studio_shards), request.pictures
        items = [item for item in items if open_still(shards.media(item.item_id)).tobytes() == shown.pixels]
    (item,) = items
    return item


def check_requests(requests: list[Request], studio_shards: Path, questions: list[QAItem]) -> None:  # noqa: F811
    """Check the protocol except for frame sizes, for the first question of each dimension."""
    shards, firsts = ShardFolder(studio_shards), {item.dimension: item for item in reversed(questions)}
    assert [question_of(request, studio_shards, questions).item_id for request in requests if not request.is_still]
    for request in requests:
        item = question_of(request, studio_shards, questions)
        assert firsts.pop(item.dimension) == item
        assert request.system == REASONING.system
        assert (request.body["max_tokens"], request.body["temperature"]) == (1024, 0)
        pictures, encoded = request.pictures, shards.media(item.item_id)
        assert request.kinds == ["image_url"] * len(pictures) + ["text"]
        assert {picture.format for picture in pictures} == {"PNG"}
        if item.media_kind is MediaKind.STILL:
            still = open_still(encoded)
            assert [(picture.size, picture.pixels) for picture in pictures] == [(still.size, still.tobytes())]
        else:
            assert len(pictures) in FRAMES
            assert frame_indices(request, encoded) == sampled_frames(len(pictures), 12.0, CLIP_FPS)
    assert not firsts


def frame_indices(request: Request, clip: bytes) -> list[int]:
    """Return the index of the clip's most similar frame for each picture."""
    import io

    import decord
    import numpy as np
    from PIL import Image

    reader = decord.VideoReader(io.BytesIO(clip), num_threads=1)
    frames = reader.get_batch(range(len(reader))).asnumpy().astype(float)
    shown = []
    for picture in request.pictures:
        scaled = Image.frombytes("RGB", picture.size, picture.pixels).resize((frames.shape[2], frames.shape[1]))
        shown.append(int(np.abs(frames - np.asarray(scaled, float)).mean(axis=(1, 2, 3)).argmin()))
    return shown


def frame_sizes(requests: list[Request]) -> set[tuple[int, int]]:
    """Return the (width, height) of all frames of clips."""
    return {picture.size for request in requests if not request.is_still for picture in request.pictures}


# ---------------------------------------------------------------------------------------------------------- requests


def test_openai_receives_original_stills_and_all_frames_of_the_protocol(
    endpoint: Endpoint,
    studio_shards: Path,
    questions: list[QAItem],  # noqa: F811
    tmp_path: Path,
) -> None:
    assert documented("openai").run(studio_shards, tmp_path / "run", endpoint.url) == 0
    check_requests(endpoint.requests, studio_shards, questions)
    ((width, height),) = frame_sizes(endpoint.requests)
    assert width * height <= CLIP_MAX_PIXELS and width % ROUNDED == height % ROUNDED == 0
    scores = read_scores(tmp_path / "run")
    assert (scores["n"], scores["answered_rate"]) == (8, 1.0)
    clips = scores["run"]["passes"]["clips"]
    assert clips["model_args"].endswith("/v1,video_fps=12,max_frames_num=768") and clips["clips_resampled"]
    warnings = scores["run"]["warnings"]
    assert "separate pictures" in warnings[0] and "multiples of 28" in warnings[1] and len(warnings) == 2

    replay = documented("replay").words[-1]
    again = [word.replace(replay, f"responses={tmp_path}/run/samples.jsonl") for word in documented("replay").words]
    assert Documented(again).run(studio_shards, tmp_path / "replay") == 0
    assert read_scores(tmp_path / "replay")["items"] == scores["items"]
    assert read_scores(tmp_path / "replay")["run"]["warnings"] == []


def test_async_openai_receives_the_same_after_a_retry_of_a_busy_server(
    endpoint: Endpoint,
    studio_shards: Path,
    questions: list[QAItem],  # noqa: F811
    tmp_path: Path,
) -> None:
    endpoint.script = [429, ANSWER]
    assert documented("async_openai").run(studio_shards, tmp_path / "run", endpoint.url) == 0
    busy, *answered = endpoint.requests
    assert [request.user for request in answered].count(busy.user) == 1
    check_requests(answered, studio_shards, questions)
    assert frame_sizes(answered) == {(168, 84)}
    clips = read_scores(tmp_path / "run")["run"]["passes"]["clips"]
    assert clips["model_args"].endswith("num_cpus=16,fps=12,max_pixels=230400") and not clips["clips_resampled"]


def test_openai_sends_the_clip_as_a_file_if_requested(
    endpoint: Endpoint,
    studio_shards: Path,
    tmp_path: Path,
) -> None:
    import decord

    assert documented("openai", "pass_video_url").run(studio_shards, tmp_path / "run", endpoint.url) == 0
    (request,) = endpoint.requests
    video, text = request.user
    assert (video["type"], text["type"]) == ("video_url", "text")
    reader = decord.VideoReader(video["video_url"]["url"].removeprefix("file://"))
    assert (reader.get_avg_fps(), reader[0].shape) == (CLIP_FPS, (90, 160, 3))
    assert len(reader) in FRAMES
    assert request.body["media_io_kwargs"] == {"video": {"num_frames": 768}}
    assert read_scores(tmp_path / "run")["run"]["warnings"] == []


def test_a_request_that_fails_permanently_is_a_missing_response_and_not_graded(
    endpoint: Endpoint,
    studio_shards: Path,
    questions: list[QAItem],  # noqa: F811
    tmp_path: Path,
) -> None:
    endpoint.script = [
        HANG_UP,
        500,
        HANG_UP,
        ANSWER,
    ]  # the OpenAI client tries three times before lmms-eval sees the error
    arguments = f"model=m,base_url={endpoint.url},{NO_WAITING}"
    more = ("--limit", "2")
    assert run_eval(tmp_path / "run", studio_shards, "async_openai", arguments, "shotbench_shot_size", *more) == 1
    failed, *_, answered = (
        question_of(request, studio_shards, questions).source_index for request in endpoint.requests
    )
    scores = read_scores(tmp_path / "run")
    assert (scores["n"], scores["unanswered"]) == (2, [failed])
    letters = {item["index"]: item["letter"] for item in scores["items"]}
    assert letters == {failed: None, answered: "B"}


# ------------------------------------------------------------------------------------------------- vLLM, without vLLM


class RecordingLLM:
    """Fake of `vllm.LLM` that records its requests and answers B."""

    created: list[dict[str, Any]]
    requests: list[Request]

    def __init__(self, **settings: Any) -> None:
        self.created.append(settings)

    def chat(self, messages: list[Any], sampling_params: list[dict[str, Any]], chat_template: str | None) -> list[Any]:
        assert chat_template is None
        self.requests += [
            Request(each | {"messages": chat}, {}) for chat, each in zip(messages, sampling_params, strict=True)
        ]
        return [SimpleNamespace(outputs=[SimpleNamespace(text="B")]) for _ in messages]

    def get_metrics(self) -> list[Any]:
        return []


def test_the_vllm_backend_sends_the_same_requests_as_async_openai(
    studio_shards: Path,
    questions: list[QAItem],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lmms_eval.models.chat import vllm as chat
    from lmms_eval.models.simple import vllm as simple

    (tmp_path / "vllm.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(RecordingLLM, "created", [], raising=False)
    monkeypatch.setattr(RecordingLLM, "requests", [], raising=False)
    monkeypatch.setattr(simple, "LLM", RecordingLLM)
    monkeypatch.setattr(chat, "SamplingParams", dict)
    assert documented("vllm").run(studio_shards, tmp_path / "run") == 0
    check_requests(RecordingLLM.requests, studio_shards, questions)
    assert all(width * height <= CLIP_MAX_PIXELS for width, height in frame_sizes(RecordingLLM.requests))
    assert [settings["model"] for settings in RecordingLLM.created] == ["Vchitect/ShotVL-3B"] * 2
    assert not {"fps", "max_pixels", "nframes", "max_new_tokens"} & RecordingLLM.created[1].keys()  # unknown to vLLM
    passes = read_scores(tmp_path / "run")["run"]["passes"]
    assert passes["stills"]["model_args"].endswith("max_model_len=65536,max_new_tokens=1024")
    assert passes["clips"]["model_args"].endswith("max_new_tokens=1024,fps=12,max_pixels=230400")


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_a_missing_vllm_is_one_line_with_the_package_to_install(
    studio_shards: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert documented("vllm").run(studio_shards, tmp_path / "run") == 2
    printed = capsys.readouterr().err
    assert printed == "shotbench: --model vllm needs vllm, which is not installed: pip install vllm\n"
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------------- clip settings, without a run


def settings_for(model: str, force_simple: bool = False, **given: str) -> tuple[dict[str, str], bool, list[str]]:
    from lmms_eval.models import get_model

    return clip_settings(model, get_model(model, force_simple), given)


def test_the_arguments_of_each_checked_backend_exist_in_its_constructor() -> None:
    from importlib import import_module

    for module_name, backend in CHECKED.items():
        module = import_module(
            module_name if module_name.startswith("lmms_eval_") else f"lmms_eval.models.{module_name}"
        )
        classes = [one for one in vars(module).values() if getattr(one, "__module__", "") == module.__name__]
        (found,) = (one for one in classes if hasattr(one, "generate_until"))
        named = {backend.rate, backend.size, backend.cap, backend.count, backend.tokens, backend.video_url} - {""}
        assert named <= constructor_arguments(found).keys(), module_name


def test_all_frames_of_a_minute_are_sampled_by_models_with_a_frame_rate() -> None:
    from qwen_vl_utils.vision_process import smart_nframes

    assert len(sampled_frames(1440, 24.0)) == 720
    for cap in ({}, {"max_frames": 768}):
        assert smart_nframes({"fps": 12, **cap}, total_frames=1440, video_fps=24.0) == 720
    assert settings_for("qwen3_vl").arguments == {"fps": "12", "max_num_frames": "768", "max_pixels": "230400"}


def test_arguments_of_the_user_are_kept_and_deviations_from_the_protocol_reported() -> None:
    assert settings_for("async_openai", nframes="16").arguments == {"max_pixels": "230400"}
    assert "nframes=16 in --model_args: not the protocol's" in settings_for("async_openai", nframes="16").remarks[-1]
    assert settings_for("vllm", fps="4").arguments == {"max_pixels": "230400"}
    assert "fps=4" in settings_for("vllm", fps="4").remarks[-1]
    assert "max_frames=100" in settings_for("async_openai", max_frames="100").remarks[-1]
    assert settings_for("openai", max_frames_num="8").arguments == {}
    assert settings_for("openai", max_frames_num="1000").arguments == {"video_fps": "12"}
    assert settings_for("qwen2_5_vl", max_pixels="100000", fps="12") == ({}, False, [])


def test_models_without_a_frame_rate_get_resampled_clips_and_a_remark() -> None:
    for model, force_simple in (("qwen2_5_vl", True), ("gemma3", False)):
        arguments, resample, (remark,) = settings_for(model, force_simple)
        assert (arguments, resample) == ({}, True)
        assert remark.startswith(f"{model} does not accept a frame rate")
    assert settings_for("replay") == ({}, False, [])


def test_models_with_a_number_of_frames_get_resampled_clips_and_state_the_number() -> None:
    assert settings_for("huggingface") == ({}, True, [])
    for model, count in (("internvl_hf", "num_frames"), ("llava_hf", "max_frames_num")):
        arguments, resample, (remark,) = settings_for(model)
        assert (arguments, resample) == ({}, True)
        assert remark.startswith(f"{model} shows at most {count} frames of a clip")
        assert settings_for(model, **{count: "768"}).remarks == [remark]
        assert f"{count}=16 in --model_args: not the protocol's" in settings_for(model, **{count: "16"}).remarks[-1]


def test_qwen3_5_gets_resampled_clips_as_it_ignores_a_frame_size() -> None:
    assert settings_for("qwen3_5") == ({"fps": "12"}, True, [])


def test_an_unchecked_model_is_judged_by_its_argument_names_with_a_remark() -> None:
    class Unknown:
        def __init__(self, video_fps: float = 1.0, max_pixels: int = 1, nframes: int = 8) -> None: ...

    settings = clip_settings("unknown", Unknown, {})
    assert settings.arguments == {"video_fps": "12", "max_pixels": "230400"} and not settings.resample
    (remark,) = settings.remarks
    assert remark.startswith("whether unknown applies video_fps and max_pixels was never checked")


def test_an_unknown_model_and_one_without_its_library_are_refused_by_name() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "lmms_eval.models.simple.dummy", None)  # simulates a missing module
        with pytest.raises(
            BackendUnavailable, match=r"--model dummy needs lmms_eval.models.simple.dummy, which is not"
        ):
            find_model_class("dummy", force_simple=False)
    with pytest.raises(ValueError, match="Model 'no_such_model' not found"):
        find_model_class("no_such_model", force_simple=False)
