"""What backends are really shown of stills and clips: the commands of docs/backends.md, read off the wire."""

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

AT_ONCE = "max_retries=1,retry_backoff_s=0,num_cpus=1"  # no long waits, one request after the other
FRAMES = (24, 26, 28)  # of a clip of the studio, at 12 a second, as it is shown
ROUNDED = 28  # qwen_vl_utils makes sides of frames multiples of it


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    monkeypatch.delenv("LMMS_IMAGE_ENCODE_FORMAT", raising=False)
    with serve(Endpoint()) as endpoint:
        yield endpoint


@dataclass(frozen=True)
class Documented:
    """A `shotbench eval` command as docs/backends.md gives it."""

    words: list[str]

    def run(self, data: Path, out: Path, url: str = "", *more: str) -> int:
        """Run it on other data, and against another server, than it names."""
        paths = {"shards/shotbench": str(data), self.words[self.words.index("--out") + 1]: str(out)}
        words = [paths.get(word, word).replace("http://localhost:8000/v1", url) for word in self.words]
        return main(["eval", *words, "--limit", "1", "--verbosity", "WARNING", *more])


def documented(model: str, marked: str = "") -> Documented:
    text = (REPOSITORY / "docs" / "backends.md").read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"^(?:OPENAI_API_KEY=EMPTY )?shotbench eval (.*)$", text, re.MULTILINE)
    (command,) = (one for one in commands if f"--model {model} " in one and ("pass_video" in one) == bool(marked))
    return Documented(shlex.split(command))


def asked_about(request: Request, studio_shards: Path, questions: list[QAItem]) -> QAItem:  # noqa: F811
    """The question with this text; of several on different stills, the one with this picture."""
    items = [item for item in questions if user_text(item) == request.user[-1]["text"]]
    if len(items) > 1:
        shards, (shown,) = ShardFolder(studio_shards), request.pictures
        items = [item for item in items if open_still(shards.media(item.item_id)).tobytes() == shown.pixels]
    (item,) = items
    return item


def check_on_the_wire(requests: list[Request], studio_shards: Path, questions: list[QAItem]) -> None:  # noqa: F811
    """Everything of the protocol but the size of frames, for the first question of each dimension."""
    shards, firsts = ShardFolder(studio_shards), {item.dimension: item for item in reversed(questions)}
    assert [asked_about(request, studio_shards, questions).item_id for request in requests if not request.is_still]
    for request in requests:
        item = asked_about(request, studio_shards, questions)
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
            assert frames_shown(request, encoded) == sampled_frames(len(pictures), 12.0, CLIP_FPS)
    assert not firsts


def frames_shown(request: Request, clip: bytes) -> list[int]:
    """Which frame of the clip each picture is, by likeness."""
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


def sizes(requests: list[Request]) -> set[tuple[int, int]]:
    """Of all frames of clips."""
    return {picture.size for request in requests if not request.is_still for picture in request.pictures}


# ------------------------------------------------------------------------------------------------------ on the wire


def test_openai_is_shown_stills_as_they_are_and_every_frame_of_the_protocol(
    endpoint: Endpoint,
    studio_shards: Path,
    questions: list[QAItem],  # noqa: F811
    tmp_path: Path,
) -> None:
    assert documented("openai").run(studio_shards, tmp_path / "run", endpoint.url) == 0
    check_on_the_wire(endpoint.requests, studio_shards, questions)
    ((width, height),) = sizes(endpoint.requests)
    assert width * height <= CLIP_MAX_PIXELS and width % ROUNDED == height % ROUNDED == 0
    scores = read_scores(tmp_path / "run")
    assert (scores["n"], scores["answered_rate"]) == (8, 1.0)
    clips = scores["run"]["passes"]["clips"]
    assert clips["model_args"].endswith("/v1,video_fps=12,max_frames_num=768") and clips["clips_resampled"]
    told = scores["run"]["warnings"]
    assert "separate pictures" in told[0] and "multiples of 28" in told[1] and len(told) == 2

    replay = documented("replay").words[-1]
    again = [word.replace(replay, f"responses={tmp_path}/run/samples.jsonl") for word in documented("replay").words]
    assert Documented(again).run(studio_shards, tmp_path / "replay") == 0
    assert read_scores(tmp_path / "replay")["items"] == scores["items"]
    assert read_scores(tmp_path / "replay")["run"]["warnings"] == []


def test_async_openai_is_shown_the_same_although_the_server_is_busy_at_first(
    endpoint: Endpoint,
    studio_shards: Path,
    questions: list[QAItem],  # noqa: F811
    tmp_path: Path,
) -> None:
    endpoint.script = [429, ANSWER]
    assert documented("async_openai").run(studio_shards, tmp_path / "run", endpoint.url) == 0
    busy, *answered = endpoint.requests
    assert [request.user for request in answered].count(busy.user) == 1
    check_on_the_wire(answered, studio_shards, questions)
    assert sizes(answered) == {(168, 84)}
    clips = read_scores(tmp_path / "run")["run"]["passes"]["clips"]
    assert clips["model_args"].endswith("num_cpus=16,fps=12,max_pixels=230400") and not clips["clips_resampled"]


def test_openai_hands_over_the_clip_itself_when_it_is_told_to(
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


def test_a_request_that_fails_for_good_is_a_missing_response_and_no_graded_answer(
    endpoint: Endpoint,
    studio_shards: Path,
    questions: list[QAItem],  # noqa: F811
    tmp_path: Path,
) -> None:
    endpoint.script = [HANG_UP, 500, HANG_UP, ANSWER]  # the OpenAI client asks three times before lmms-eval hears of it
    arguments = f"model=m,base_url={endpoint.url},{AT_ONCE}"
    more = ("--limit", "2")
    assert run_eval(tmp_path / "run", studio_shards, "async_openai", arguments, "shotbench_shot_size", *more) == 1
    failed, *_, answered = (
        asked_about(request, studio_shards, questions).source_index for request in endpoint.requests
    )
    scores = read_scores(tmp_path / "run")
    assert (scores["n"], scores["unanswered"]) == (2, [failed])
    letters = {item["index"]: item["letter"] for item in scores["items"]}
    assert letters == {failed: None, answered: "B"}


# ------------------------------------------------------------------------------------------------- vLLM, without vLLM


class RecordingLLM:
    """Stands for `vllm.LLM`: keeps what it is given, answers B."""

    made: list[dict[str, Any]]
    asked: list[Request]

    def __init__(self, **settings: Any) -> None:
        self.made.append(settings)

    def chat(self, messages: list[Any], sampling_params: list[dict[str, Any]], chat_template: str | None) -> list[Any]:
        assert chat_template is None
        self.asked += [
            Request(each | {"messages": chat}, {}) for chat, each in zip(messages, sampling_params, strict=True)
        ]
        return [SimpleNamespace(outputs=[SimpleNamespace(text="B")]) for _ in messages]

    def get_metrics(self) -> list[Any]:
        return []


def test_vllm_is_shown_the_same_as_async_openai_by_the_class_that_calls_it(
    studio_shards: Path,
    questions: list[QAItem],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lmms_eval.models.chat import vllm as chat
    from lmms_eval.models.simple import vllm as simple

    (tmp_path / "vllm.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(RecordingLLM, "made", [], raising=False)
    monkeypatch.setattr(RecordingLLM, "asked", [], raising=False)
    monkeypatch.setattr(simple, "LLM", RecordingLLM)
    monkeypatch.setattr(chat, "SamplingParams", dict)
    assert documented("vllm").run(studio_shards, tmp_path / "run") == 0
    check_on_the_wire(RecordingLLM.asked, studio_shards, questions)
    assert all(width * height <= CLIP_MAX_PIXELS for width, height in sizes(RecordingLLM.asked))
    assert [made["model"] for made in RecordingLLM.made] == ["Vchitect/ShotVL-3B"] * 2
    assert not {"fps", "max_pixels", "nframes", "max_new_tokens"} & RecordingLLM.made[1].keys()  # unknown to vLLM
    passes = read_scores(tmp_path / "run")["run"]["passes"]
    assert passes["stills"]["model_args"].endswith("max_model_len=65536,max_new_tokens=1024")
    assert passes["clips"]["model_args"].endswith("max_new_tokens=1024,fps=12,max_pixels=230400")


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_vllm_without_vllm_is_refused_in_one_line_that_says_what_to_install(
    studio_shards: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert documented("vllm").run(studio_shards, tmp_path / "run") == 2
    told = capsys.readouterr().err
    assert told == "shotbench: --model vllm needs vllm, which is not installed: pip install vllm\n"
    assert not (tmp_path / "run").exists()


# --------------------------------------------------------------------------------- what each is told, without a run


def added(model: str, force_simple: bool = False, **given: str) -> tuple[dict[str, str], bool, list[str]]:
    from lmms_eval.models import get_model

    return clip_settings(model, get_model(model, force_simple), given)


def test_arguments_we_name_are_arguments_the_constructors_take() -> None:
    from importlib import import_module

    for place, backend in CHECKED.items():
        module = import_module(place if place.startswith("lmms_eval_") else f"lmms_eval.models.{place}")
        classes = [one for one in vars(module).values() if getattr(one, "__module__", "") == module.__name__]
        (found,) = (one for one in classes if hasattr(one, "generate_until"))
        named = {backend.rate, backend.size, backend.cap, backend.count, backend.tokens, backend.video_url} - {""}
        assert named <= constructor_arguments(found).keys(), place


def test_a_minute_is_shown_whole_where_a_rate_is_told() -> None:
    from qwen_vl_utils.vision_process import smart_nframes

    assert len(sampled_frames(1440, 24.0)) == 720
    for cap in ({}, {"max_frames": 768}):
        assert smart_nframes({"fps": 12, **cap}, total_frames=1440, video_fps=24.0) == 720
    assert added("qwen3_vl").arguments == {"fps": "12", "max_num_frames": "768", "max_pixels": "230400"}


def test_what_the_user_gave_is_kept_and_what_it_costs_is_said() -> None:
    assert added("async_openai", nframes="16").arguments == {"max_pixels": "230400"}
    assert "nframes=16 in --model_args: not the protocol's" in added("async_openai", nframes="16").remarks[-1]
    assert added("vllm", fps="4").arguments == {"max_pixels": "230400"}
    assert "fps=4" in added("vllm", fps="4").remarks[-1]
    assert "max_frames=100" in added("async_openai", max_frames="100").remarks[-1]
    assert added("openai", max_frames_num="8").arguments == {}
    assert added("openai", max_frames_num="1000").arguments == {"video_fps": "12"}
    assert added("qwen2_5_vl", max_pixels="100000", fps="12") == ({}, False, [])


def test_models_that_choose_their_own_frames_are_named() -> None:
    for model, force_simple in (("qwen2_5_vl", True), ("llava_hf", False)):
        arguments, resample, (remark,) = added(model, force_simple)
        assert (arguments, resample) == ({}, True)
        assert remark.startswith(f"{model} cannot be told a frame rate")
    assert added("replay") == ({}, False, [])


def test_a_model_nobody_has_looked_at_is_told_by_the_names_of_its_arguments_and_says_so() -> None:
    class Unknown:
        def __init__(self, video_fps: float = 1.0, max_pixels: int = 1, nframes: int = 8) -> None: ...

    settings = clip_settings("unknown", Unknown, {})
    assert settings.arguments == {"video_fps": "12", "max_pixels": "230400"} and not settings.resample
    (remark,) = settings.remarks
    assert remark.startswith("what unknown does with video_fps and max_pixels was never checked")


def test_an_unknown_model_is_refused_by_name_and_one_without_its_library_with_the_name_of_that() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "lmms_eval.models.simple.dummy", None)  # as if it were not there
        with pytest.raises(
            BackendUnavailable, match=r"--model dummy needs lmms_eval.models.simple.dummy, which is not"
        ):
            find_model_class("dummy", force_simple=False)
    with pytest.raises(ValueError, match="Model 'no_such_model' not found"):
        find_model_class("no_such_model", force_simple=False)
