"""`shotvl` on a server: what is sent, what is checked, and how failures end."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy
import pytest

pytestmark = pytest.mark.host
pytest.importorskip("openai")
torch = pytest.importorskip("torch")
from PIL import Image

from lmms_eval_shotbench.grading import chat_endpoint
from lmms_eval_shotbench.media.clips import sampled_frames, sampled_rate
from lmms_eval_shotbench.media.stored_medium import StoredMedium
from lmms_eval_shotbench.models import server_connection, server_engine
from lmms_eval_shotbench.models.chats import Chat, read_chat
from lmms_eval_shotbench.models.engine import EngineFailed, EngineUnavailable
from lmms_eval_shotbench.models.engines import EngineSettings, open_engine
from lmms_eval_shotbench.models.planning import Planner
from lmms_eval_shotbench.models.server_media import encoded_medium, encoded_video, pictures_of, seconds_for_server
from lmms_eval_shotbench.models.server_requests import CHECKED, IN_EFFECT, NOT_CHECKED
from lmms_eval_shotbench.qwen.input_rules import InputRules, read_input_rules
from lmms_eval_shotbench.qwen.inputs import MediaLimits, grey_medium
from lmms_eval_shotbench.qwen.rope_positions import Grid, PositionRule, time_positions
from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from lmms_eval_shotbench.runs.response_store import Answer, Failure, Response
from lmms_eval_shotbench.runs.run_time import SharedTime
from lmms_eval_shotbench.vocabulary import MediaKind, View
from tests.support import openai_server, qwen_server, releases
from tests.support.engine_answers import engine_answers
from tests.support.openai_server import ANSWER, HALF, HANG, HANG_UP, HTML, NO_CHOICES, NULL, Request
from tests.support.ports import refusing_port
from tests.support.qwen_server import MODEL, QwenEndpoint
from tests.support.tiny_families.trainable import make_trainable

LIMITS = MediaLimits(still_min=3136, still_max=30_000, clip_min=784, clip_max=8_000, fps=12.0)
NAMES = {MediaKind.STILL: "image", MediaKind.CLIP: "video"}


@pytest.fixture(scope="module")
def rules() -> InputRules:
    return read_input_rules(str(TINY_SHOTVL))


@pytest.fixture(scope="module")
def rules_of_qwen3_vl(tmp_path_factory: pytest.TempPathFactory) -> InputRules:
    return read_input_rules(str(make_trainable("qwen3_vl", tmp_path_factory.mktemp("qwen3_vl"))))


@pytest.fixture
def served(rules: InputRules, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., QwenEndpoint]]:
    """A function that starts a server."""
    monkeypatch.setattr(chat_endpoint, "FIRST_PAUSE", 0.001)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ExitStack() as stack:
        yield lambda **scripted: stack.enter_context(openai_server.serve(QwenEndpoint(**{"rules": rules} | scripted)))


def opened(endpoint: openai_server.Endpoint | str, pretrained: Path = TINY_SHOTVL, **arguments: Any) -> Any:
    """The engine and the planner."""
    url = endpoint if isinstance(endpoint, str) else endpoint.url
    further = {"base_url": url, "model": MODEL} | arguments
    settings = EngineSettings(str(pretrained), None, torch.device("cpu"), "auto", {"batch_tokens": None}, further)
    return open_engine("server", settings, lambda rules: Planner(rules, LIMITS, workers=1))


def chat(number: int, kind: MediaKind = MediaKind.STILL, view: View = View.AS_FILMED, **generation: Any) -> Chat:
    encoded = picture(number) if kind is MediaKind.STILL else releases.clip(30 + number)
    medium = StoredMedium.of(kind, "", lambda: encoded, view)
    system = {"role": "system", "content": [{"type": "text", "text": "You are a helpful assistant."}]}
    text = {"type": "text", "text": f"question {number} of all"}
    user = {"role": "user", "content": [{"type": NAMES[kind], "url": medium}, text]}
    return read_chat([system, user], {"max_new_tokens": 8} | generation)


def picture(number: int) -> bytes:
    stream = io.BytesIO()
    pixels = numpy.random.default_rng(number).integers(0, 256, (90, 160, 3), dtype=numpy.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def number_of(request: Request) -> int:
    return int(request.text.split()[1])


def responses(answers: list[Answer]) -> list[str | None]:
    """Their texts, None for a failure."""
    return [answer.text if isinstance(answer, Response) else None for answer in answers]


# ------------------------------------------------------------------------------------------------------ what is sent


@pytest.mark.parametrize("view", [View.AS_FILMED, View.MIRRORED])
@pytest.mark.parametrize("kind", MediaKind)
def test_pixels_on_the_wire_are_those_of_the_vision_tower(
    served: Callable[..., QwenEndpoint], kind: MediaKind, view: View
) -> None:
    endpoint = served()
    engine, planner = opened(endpoint)
    asked = chat(3, kind, view)
    assert responses(engine_answers(engine, planner, [asked])) == ["B"]
    (request,) = endpoint.questions
    sent = qwen_server.pictures_of(request.user[0])
    patches = planner.patches(asked.media[0])
    assert numpy.array_equal(numpy.stack(sent), pictures_of(patches, planner.rules.patch_rule))
    if kind is MediaKind.STILL:  # against the picture itself, without patches
        (expected,) = sent
        given = Image.open(io.BytesIO(picture(3)))
        flipped = given.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if view is View.MIRRORED else given
        size = expected.shape[1::-1]
        assert (
            numpy.abs(numpy.asarray(flipped.resize(size, Image.Resampling.BICUBIC)) - expected.astype(int)).mean() < 3
        )


def test_a_request_has_the_checkpoints_penalty_and_the_tasks_settings(
    served: Callable[..., QwenEndpoint], tiny_model_unconstrained: Path
) -> None:
    endpoint = served(rules=read_input_rules(str(tiny_model_unconstrained)))
    engine, planner = opened(endpoint, tiny_model_unconstrained)
    engine_answers(engine, planner, [chat(1, max_new_tokens=5, until=["stop"])])
    engine_answers(engine, planner, [chat(1, temperature=0.7, top_p=0.9, seed=4)])
    greedy, sampled = (request.body for request in endpoint.questions)
    assert (greedy["temperature"], greedy["max_tokens"], greedy["stop"]) == (0, 5, ["stop"])
    assert greedy["repetition_penalty"] == pytest.approx(1.2)
    assert "seed" not in greedy
    assert (sampled["temperature"], sampled["top_p"]) == (0.7, 0.9)
    assert isinstance(sampled["seed"], int)
    assert greedy["mm_processor_kwargs"] == {"do_resize": False, "do_sample_frames": False}
    assert greedy["model"] == MODEL


@pytest.mark.parametrize("frame_rate", [Fraction(24), Fraction(24000, 1001), Fraction(25), Fraction(30)])
def test_times_of_a_clip_give_the_right_positions_also_rounded_to_bfloat16(frame_rate: Fraction) -> None:
    rule = PositionRule(frozenset(), 2, 2, 2)
    for frames in range(2, int(64 * frame_rate), 29):  # up to 768 at 12 frames a second
        shown = len(sampled_frames(frames, frame_rate))
        grid = Grid(-(-shown // 2), 2, 2, sampled_rate(shown, frames, frame_rate))
        fps = 2 / seconds_for_server(grid, rule)  # what is sent; the processor computes the seconds from it
        for dtype in (torch.float32, torch.bfloat16):
            seconds = torch.tensor(2 / fps).to(dtype).item()
            positions = [int(t * (seconds * rule.tokens_per_second)) for t in range(grid.time)]
            assert positions == time_positions(grid, rule).tolist()


def test_where_bfloat16_has_no_right_seconds_those_that_are_sent_are_right_in_float32() -> None:
    rule, grid = PositionRule(frozenset(), 2, 2, 2), Grid(384, 2, 2, Fraction(768, 7213))
    seconds = torch.tensor(2 / (2 / seconds_for_server(grid, rule)))
    assert [int(t * (seconds.item() * 2)) for t in range(grid.time)] == time_positions(grid, rule).tolist()
    assert seconds.to(torch.bfloat16) != seconds


@pytest.mark.parametrize("rate", [Fraction(12), Fraction(24000, 1001) / 2, Fraction(1152000, 97097), Fraction(2)])
def test_a_video_file_decodes_to_the_same_pixels_at_its_rate(rate: Fraction) -> None:
    frames = numpy.random.default_rng(0).integers(0, 256, (14, 56, 84, 3), dtype=numpy.uint8)
    with av.open(io.BytesIO(encoded_video(frames, rate))) as container:
        video = container.streams.video[0]
        assert float(video.average_rate or 0) == pytest.approx(float(rate), rel=1e-6)
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video)]
    assert numpy.array_equal(numpy.stack(decoded), frames)


def test_another_server_than_vllm_gets_a_video_file(served: Callable[..., QwenEndpoint], rules: InputRules) -> None:
    medium = grey_medium(MediaKind.CLIP, LIMITS, rules.patch_rule)
    encoded = encoded_medium(medium, rules, for_vllm=False)
    assert encoded.part["video_url"]["url"].startswith("data:video/mp4;base64,")
    assert encoded.request == {}


# ---------------------------------------------------------------------------------------------------- what is checked


def test_a_clip_of_qwen2_5_vl_is_checked_by_the_effect_of_its_times(served: Callable[..., QwenEndpoint]) -> None:
    engine, planner = opened(served())
    engine_answers(engine, planner, [chat(1), chat(2, MediaKind.CLIP)])
    assert engine.provenance == {
        "engine": "server",
        "server": "vllm 0.24.0",
        "model": MODEL,
        "time_positions": IN_EFFECT,
    }


@pytest.mark.parametrize("returns_token_ids", [True, False])
def test_a_clip_of_qwen3_vl_is_checked_by_the_times_in_its_prompt(
    served: Callable[..., QwenEndpoint], rules_of_qwen3_vl: InputRules, returns_token_ids: bool
) -> None:
    endpoint = served(rules=rules_of_qwen3_vl, returns_token_ids=returns_token_ids)
    engine, planner = opened(endpoint, Path(rules_of_qwen3_vl.processor.tokenizer.name_or_path))
    assert (
        responses(engine_answers(engine, planner, [chat(number, MediaKind.CLIP) for number in range(4)])) == ["B"] * 4
    )
    assert engine.provenance["time_positions"] == (CHECKED if returns_token_ids else NOT_CHECKED)


@pytest.mark.parametrize("kind", MediaKind)
def test_a_server_that_makes_other_prompts_is_refused_before_any_question(
    served: Callable[..., QwenEndpoint], kind: MediaKind
) -> None:
    endpoint = served(tokens_too_many={kind: 7})
    engine, planner = opened(endpoint)
    with pytest.raises(
        EngineFailed, match=rf"the server's prompt has [\d,]+ tokens instead of [\d,]+ for a {kind.value}"
    ):
        engine_answers(engine, planner, [chat(1), chat(2, kind)])
    assert not endpoint.questions


def test_a_server_that_shows_no_clips_right_answers_questions_on_stills(served: Callable[..., QwenEndpoint]) -> None:
    engine, planner = opened(served(tokens_too_many={MediaKind.CLIP: 7}))
    assert responses(engine_answers(engine, planner, [chat(1), chat(2)])) == ["B", "B"]
    assert engine.provenance["time_positions"] == "no clip was asked"


def test_a_server_that_ignores_times_is_refused(served: Callable[..., QwenEndpoint]) -> None:
    engine, planner = opened(served(uses_times=False))
    with pytest.raises(EngineFailed, match="the server ignores the times of a clip's frames"):
        engine_answers(engine, planner, [chat(1, MediaKind.CLIP)])


def test_a_prompt_that_differs_later_is_a_failure_of_its_question(served: Callable[..., QwenEndpoint]) -> None:
    endpoint = served()
    engine, planner = opened(endpoint)
    engine.start([planner.plan([chat(1)])])
    endpoint.tokens_too_many[MediaKind.STILL] = 1
    (answer,) = engine_answers(engine, planner, [chat(1)])
    assert isinstance(answer, Failure)
    assert "instead of" in answer.reason


# ---------------------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (400, "HTTP 400: .*scripted 400"),
        (500, "HTTP 500: .*scripted 500"),
        (NULL, "null for content"),
        (NO_CHOICES, "no chat completion"),
        (HTML, "no chat completion: <html>"),
        (HALF, "no chat completion"),
        (HANG_UP, "connection failed"),
        (HANG, "no reply within 0.5 s"),
    ],
)
def test_a_bad_reply_costs_its_question_only(
    served: Callable[..., QwenEndpoint], act: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_connection, "ATTEMPTS", 2)
    endpoint = served(script=lambda request: act if number_of(request) == 2 else ANSWER)
    engine, planner = opened(endpoint, timeout=0.5 if act == HANG else 60)
    answers = engine_answers(engine, planner, [chat(number) for number in range(4)])
    assert responses(answers) == ["B", "B", None, "B"]
    assert isinstance(answers[2], Failure)
    assert re.search(reason, answers[2].reason)
    attempts = sum(number_of(request) == 2 for request in endpoint.questions)
    assert attempts == (1 if act == 400 else 2)


@pytest.mark.parametrize("act", [429, 503, NULL, HALF, HANG_UP])
def test_a_fault_that_passes_costs_nothing(served: Callable[..., QwenEndpoint], act: int) -> None:
    failed: set[int] = set()

    def script(request: Request) -> int:
        first = number_of(request) not in failed
        failed.add(number_of(request))
        return act if first else ANSWER

    engine, planner = opened(served(script=script))
    assert responses(engine_answers(engine, planner, [chat(number) for number in range(3)])) == ["B"] * 3


def test_answers_come_until_the_server_is_gone_and_then_the_run_ends(served: Callable[..., QwenEndpoint]) -> None:
    endpoint = served()

    def script(request: Request) -> int:
        if number_of(request) < 3:
            return ANSWER
        endpoint.listed.clear()
        return 503

    endpoint.script = script
    engine, planner = opened(endpoint, concurrency=1)
    found: dict[int, Answer] = {}
    with pytest.raises(EngineFailed, match="no longer answers: HTTP 404"):
        for some in engine.answers(planner.plan([chat(number) for number in range(9)])):
            found |= some
    assert responses(list(found.values())) == ["B"] * 3


def test_a_run_ends_if_request_after_request_fails(served: Callable[..., QwenEndpoint]) -> None:
    endpoint = served(script=lambda _: 400)
    engine, planner = opened(endpoint)
    with pytest.raises(EngineFailed, match="50 requests in a row failed, the last: HTTP 400"):
        engine_answers(engine, planner, [chat(number) for number in range(200)])


def test_a_broken_medium_costs_its_questions_and_is_not_sent(served: Callable[..., QwenEndpoint]) -> None:
    endpoint = served()
    engine, planner = opened(endpoint)
    cut = StoredMedium.of(MediaKind.CLIP, "", lambda: releases.clip(48)[:-700])
    broken = chat(5, MediaKind.CLIP)._replace(media=[cut])
    answers = engine_answers(engine, planner, [chat(1, MediaKind.CLIP), broken, chat(2)])
    assert responses(answers) == ["B", None, "B"]
    assert 5 not in map(number_of, endpoint.questions)


def test_as_many_requests_are_in_flight_as_allowed_and_answers_come_before_the_last_is_sent(
    served: Callable[..., QwenEndpoint],
) -> None:
    together = threading.Barrier(3, timeout=60)  # fewer at once would never be answered

    def answer(request: Request) -> str:
        if qwen_server.is_question(request):
            together.wait()
        return "B"

    endpoint = served(answer=answer)
    engine, planner = opened(endpoint, concurrency=3)
    batches = engine.answers(planner.plan([chat(number) for number in range(12)]))
    first = next(some for some in batches if some)
    assert len(endpoint.questions) == 3
    assert len(first) + sum(map(len, batches)) == 12


def test_text_is_decoded_from_token_ids_because_servers_split_off_thoughts(
    served: Callable[..., QwenEndpoint], rules: InputRules
) -> None:
    ids = rules.processor.tokenizer("<think>x</think><answer>C</answer>")["input_ids"]

    class Splitting(QwenEndpoint):
        def completion(self, request: Request) -> dict[str, Any]:
            completion = super().completion(request)
            completion["choices"][0]["token_ids"] = ids
            completion["choices"][0]["message"] |= {"content": None, "reasoning": "x"}
            return completion

    with openai_server.serve(Splitting(rules=rules)) as endpoint:
        engine, planner = opened(endpoint)
        assert responses(engine_answers(engine, planner, [chat(1)])) == ["<think>x</think><answer>C</answer>"]


def test_a_response_that_the_server_gave_up_is_requested_again(
    served: Callable[..., QwenEndpoint], rules: InputRules
) -> None:
    class GivesUpOnce(QwenEndpoint):
        def completion(self, request: Request) -> dict[str, Any]:
            completion = super().completion(request)
            if len(self.questions) == 1:
                completion["choices"][0]["finish_reason"] = "abort"
            return completion

    with openai_server.serve(GivesUpOnce(rules=rules)) as endpoint:
        engine, planner = opened(endpoint)
        (answer,) = engine_answers(engine, planner, [chat(1)])
    assert isinstance(answer, Response) and answer.finish_reason == "stop"
    assert len(endpoint.questions) == 2


def test_the_time_of_a_response_is_that_of_its_request_without_that_of_its_media(
    served: Callable[..., QwenEndpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, patches = [0.0], Planner.patches

    def slow_patches(self: Planner, medium: StoredMedium) -> Any:
        now[0] += 100
        return patches(self, medium)

    def slow_answer(request: Request) -> str:
        now[0] += 2 if qwen_server.is_question(request) else 0
        return "B"

    monkeypatch.setattr(server_engine, "SharedTime", lambda: SharedTime(lambda: now[0]))
    monkeypatch.setattr(Planner, "patches", slow_patches)
    engine, planner = opened(served(answer=slow_answer))
    answers = [answer for some in engine.answers(planner.plan([chat(1)])) for answer in some.values()]
    assert [answer.seconds for answer in answers] == [2]


def test_a_thought_that_a_server_keeps_for_itself_is_a_failure(served: Callable[..., QwenEndpoint]) -> None:
    endpoint = served()
    engine, planner = opened(endpoint)
    engine.start([planner.plan([chat(1)])])
    endpoint.message = {"reasoning_content": "It may be A"}
    (answer,) = engine_answers(engine, planner, [chat(1)])
    assert isinstance(answer, Failure)
    assert "without a reasoning parser" in answer.reason


# ------------------------------------------------------------------------------------------------------- at the start


def test_a_server_that_is_down_is_one_line() -> None:
    with refusing_port() as port, pytest.raises(EngineUnavailable, match="does not answer: connection failed"):
        opened(f"http://127.0.0.1:{port}/v1")


def test_a_model_that_is_not_served_is_refused_with_what_is(served: Callable[..., QwenEndpoint]) -> None:
    with pytest.raises(EngineUnavailable, match=f"has no model other, but {MODEL}; name it by model="):
        opened(served(), model="other")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base_url": ""}, "the server's base_url must be"),
        ({"base_url": "http://user:secret@host/v1"}, "without a user or password"),
        ({"tensor_parallel_size": 2}, "no argument tensor_parallel_size; it has base_url, model"),
        ({"concurrency": 0}, "must be above 0"),
        ({"timeout": "soon"}, "could not convert string to float"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineUnavailable, match=message):
        opened("http://127.0.0.1:9/v1", **arguments)


def test_the_key_of_a_response_has_the_server_and_not_its_address(served: Callable[..., QwenEndpoint]) -> None:
    here, there = (opened(served())[0].numerics for _ in range(2))
    assert json.dumps(here) == json.dumps(there) == json.dumps(["server", "vllm", "0.24.0", MODEL])


def test_a_version_that_is_not_reported_at_once_does_not_change_the_key(served: Callable[..., QwenEndpoint]) -> None:
    endpoint, replies = served(), iter([503, {"version": "0.24.0"}])
    endpoint.listed["/version"] = lambda: next(replies)
    assert opened(endpoint)[0].numerics == ["server", "vllm", "0.24.0", MODEL]
