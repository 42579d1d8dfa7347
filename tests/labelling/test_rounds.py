"""Rounds of options through the real lmms-eval: a server that generates, and the tiny model in this process."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.host, pytest.mark.timeout(900)]
pytest.importorskip("lmms_eval")
pytest.importorskip("openai")
pytest.importorskip("torch")

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.harness import recorder
from lmms_eval_shotbench.harness.eval_plan import EvaluationError
from lmms_eval_shotbench.labelling.asking import ask_items
from lmms_eval_shotbench.labelling.asking.askers import AskedModel, make_askers
from lmms_eval_shotbench.labelling.asking.rounds import NO_OTHER_MOVEMENT, NONE_OF_THESE, RoundSettings
from lmms_eval_shotbench.labelling.shot import FilmShot
from lmms_eval_shotbench.labelling.shot_sheet import read_sheet
from lmms_eval_shotbench.labelling.vote import NO_TERM, Vote, Way
from lmms_eval_shotbench.prompts import DIRECT, REASONING, PromptStyle
from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, LENS_SIZE, LIGHTING_TYPE, SHOT_FRAMING, SHOT_SIZE, Dimension
from tests.harness.test_lmms_eval import isolated_caches  # noqa: F401
from tests.support import releases
from tests.support.made_films import MadeFilm, MadeShot
from tests.support.openai_server import ANSWER, Endpoint, Request, serve
from tests.support.warm_runs import WARM

ONCE = RoundSettings(repeats=1)
BOTH = (SHOT_SIZE, CAMERA_MOVEMENT)
Found = list[tuple[FilmShot, list[Vote]]]


@pytest.fixture(scope="module", autouse=True)
def own_environment(isolated_caches: Any) -> Any:  # noqa: F811
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.delenv("SHOTBENCH_RESPONSES", raising=False)
        yield


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve(Endpoint(answer=lambda request: letter_of(request, best_of(request)))) as served:
        yield served


def two_films(folder: Path, shots: int = 3) -> list[FilmShot]:
    """Two films of some shots, each with a still and a clip of its own."""
    found = []
    for film in range(2):
        (folder / "media" / f"film-{film}").mkdir(parents=True)
        for number in range(1, shots + 1):
            path = f"media/film-{film}/{number:04}"
            (folder / f"{path}.png").write_bytes(releases.still(10 * film + number, "PNG"))
            (folder / f"{path}.mp4").write_bytes(releases.clip(12 + 2 * number + film))
            shot = FilmShot(f"film-{film}-{number:04}", f"film-{film}", number, f"{path}.png", f"{path}.mp4")
            found.append(shot)
    return found


def offered(request: Request) -> dict[str, str]:
    """Letters by option."""
    return {text: letter for letter, text in re.findall(r"^([A-D])\. (.+)$", request.text, re.MULTILINE)}


def best_of(request: Request) -> str:
    """The option whose term is first in the alphabet; so every dimension has one winner."""
    return min(offered(request))


def letter_of(request: Request, option: str) -> str:
    return f"<think>The answer is {option}.</think><answer>{offered(request)[option]}</answer>"


def server(endpoint: Endpoint, more: str = "") -> AskedModel:
    arguments = f"model=m,base_url={endpoint.url},api_key=none,max_retries=1,num_concurrent=2{more}"
    return AskedModel("openai", arguments, passed_on=["--gen_kwargs", "max_new_tokens=40"])


def ask(
    model: AskedModel,
    shots: Sequence[FilmShot],
    folder: Path,
    dimensions: Sequence[Dimension] = BOTH,
    *,
    ask: str = "letter",
    settings: RoundSettings = ONCE,
    style: PromptStyle = REASONING,
) -> Found:
    askers = make_askers([model], ask, settings=settings, style=style)
    return [found for asker in askers for found in asker.votes(shots, folder, dimensions)]


def winner(vote: Vote) -> str:
    return max(vote.probabilities, key=vote.probabilities.__getitem__)


def test_the_favourite_wins_its_vote_has_every_game_and_terms_are_read_from_the_same_responses(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    shots = two_films(tmp_path)
    found = ask(server(endpoint), shots, tmp_path)
    assert [shot for shot, _ in found] == shots
    for shot, (size, movement) in found:
        assert winner(size) == min(term.name for term in SHOT_SIZE.terms)
        assert winner(movement) == min(term.name for term in CAMERA_MOVEMENT.terms)
        assert (size.medium, movement.medium) == (shot.still, shot.clip)
        assert (len(size.details["games"]), len(movement.details["games"])) == (2, 7)
        assert (size.model, size.way) == ("m", Way.LETTER)
    assert len(endpoint.requests) == 6 * (2 + 7)
    texts = {request.text for request in endpoint.requests if request.is_still}
    assert {vote.question for _, votes in found for vote in votes if vote.dimension == SHOT_SIZE.slug} <= texts
    both = ask(server(endpoint), shots, tmp_path, ask="letter,term")
    assert both[: len(found)] == found
    assert {vote.way for _, votes in both[len(found) :] for vote in votes} == {Way.TERM}
    assert len(endpoint.requests) == 6 * (2 + 7)


def test_another_prompt_or_medium_is_asked_again_and_another_timeout_is_not(tmp_path: Path, endpoint: Endpoint) -> None:
    (shot, *_) = two_films(tmp_path)
    ask(server(endpoint), [shot], tmp_path, [LENS_SIZE])
    assert len(endpoint.requests) == 1
    ask(server(endpoint, ",timeout=30"), [shot], tmp_path, [LENS_SIZE])
    assert len(endpoint.requests) == 1
    ask(server(endpoint), [shot], tmp_path, [LENS_SIZE], style=DIRECT)
    assert len(endpoint.requests) == 2
    (tmp_path / shot.still).write_bytes(releases.still(99, "PNG"))
    ask(server(endpoint), [shot], tmp_path, [LENS_SIZE])
    assert len(endpoint.requests) == 3


def test_a_failed_request_and_a_broken_medium_give_no_vote_but_a_remark(tmp_path: Path, endpoint: Endpoint) -> None:
    shots = two_films(tmp_path)[:4]
    (tmp_path / shots[1].still).write_bytes(b"no picture")
    (tmp_path / shots[2].still).unlink()
    failing = pixels_of(tmp_path / shots[0].still)
    endpoint.script = lambda request: 500 if request.pictures[0].pixels == failing else ANSWER
    found = ask(server(endpoint), shots, tmp_path, [LENS_SIZE, SHOT_FRAMING])
    assert [len(votes) for _, votes in found] == [0, 0, 0, 2]
    names = f"{LENS_SIZE.slug}, {SHOT_FRAMING.slug}"
    remarks = [shot.remark for shot, _ in found]
    assert remarks[0].startswith(f"{names}: Error code: 500")
    assert remarks[1] == f"{names}: still cannot be decoded: no known picture format"
    assert remarks[2] == f"{names}: {shots[2].still} cannot be read: No such file or directory"
    assert not remarks[3]
    endpoint.script = [ANSWER]
    asked = len(endpoint.requests)
    (_, votes), *_ = ask(server(endpoint), shots, tmp_path, [LENS_SIZE])
    assert winner(votes[0]) == min(term.name for term in LENS_SIZE.terms)
    assert len(endpoint.requests) == asked + 1


def pixels_of(path: Path) -> bytes:
    from PIL import Image

    with Image.open(path) as picture:
        return picture.convert("RGB").tobytes()


def test_a_server_that_is_gone_ends_the_run_and_what_it_answered_is_kept(
    tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MOST_FAILURES", 3)
    endpoint.script = lambda request: 500 if len(endpoint.requests) > 5 else ANSWER
    kept = rf"5 of 12 responses are kept in {re.escape(str(tmp_path / 'responses'))}, and the same command asks only"
    with pytest.raises(EvaluationError, match=rf"3 requests in a row failed.*; {kept} the rest"):
        ask(server(endpoint), two_films(tmp_path)[:1], tmp_path, [SHOT_SIZE], settings=RoundSettings(repeats=12))


def test_responses_without_an_option_give_no_vote(tmp_path: Path, endpoint: Endpoint) -> None:
    endpoint.answer = "It is a lovely picture."
    ((shot, votes),) = ask(server(endpoint), two_films(tmp_path)[:1], tmp_path, [LENS_SIZE])
    assert not votes
    assert shot.remark == f"{LENS_SIZE.slug}: no option could be read from the responses"


def test_a_second_movement_is_asked_for_given_the_first(tmp_path: Path, endpoint: Endpoint) -> None:
    shots = two_films(tmp_path)[:2]
    endpoint.answer = lambda request: letter_of(
        request,
        next(text for text in ("Tilt up", NO_OTHER_MOVEMENT, best_of(request)) if text in offered(request)),
    )
    settings = RoundSettings(repeats=1, second_movement=True)
    found = ask(server(endpoint), shots, tmp_path, [CAMERA_MOVEMENT], settings=settings)
    for _, (first, second) in found:
        assert (winner(first), first.second) == ("Tilt up", False)
        assert (winner(second), second.second) == (NO_TERM, True)
        assert "One camera movement in this movie shot is Tilt up." in second.question
        assert "Tilt up" not in second.probabilities


def test_none_of_these_is_offered_in_every_game_and_light_is_asked_for_by_facet(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    endpoint.answer = lambda request: letter_of(
        request, next(text for text in ("Sunny", "Daylight", NONE_OF_THESE) if text in offered(request))
    )
    settings = RoundSettings(repeats=1, offer_none=True)
    ((_, (size, light)),) = ask(
        server(endpoint), two_films(tmp_path)[:1], tmp_path, [SHOT_SIZE, LIGHTING_TYPE], settings=settings
    )
    assert winner(size) == NO_TERM
    assert light.probabilities["Daylight"] == light.probabilities["Sunny"] > 0.3
    assert all(NONE_OF_THESE in offered(request) for request in endpoint.requests)


def test_the_command_sets_number_and_kind_of_rounds(
    tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    MadeFilm((MadeShot(30, 1),)).write(tmp_path / "film.mp4")
    asked = ["--model", "openai", "--model_args", server(endpoint).model_args, "--dimensions", CAMERA_MOVEMENT.slug]
    written = ["--out", "labels", "--no-page", "--no-timelines", "--no-captions", "--quiet"]
    rounds = ["--repeats", "1", "--offer-none", "--second-movement"]
    assert main(["label", "film.mp4", *asked, *written, *rounds]) == 0
    (row,) = read_sheet(tmp_path / "labels").shots
    assert [vote.second for vote in row.votes] == [False, True]
    assert all({NONE_OF_THESE, NO_OTHER_MOVEMENT} & offered(request).keys() for request in endpoint.requests)


def label(url: str, shots: Sequence[FilmShot], folder: Path) -> None:
    ask(server(Endpoint(url=url)), shots, folder, [SHOT_SIZE])


def test_a_run_that_is_killed_asks_only_the_rest(tmp_path: Path, endpoint: Endpoint) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    shots = two_films(calm, 4)
    two_films(killed, 4)
    expected = ask(server(endpoint), shots, calm, [SHOT_SIZE])
    distinct = len(endpoint.requests)
    assert distinct == 8 * 2
    endpoint.requests.clear()
    endpoint.delay = 0.05
    for stop in (4, 12):  # in the first round and in the second
        process = WARM.Process(target=label, args=(endpoint.url, shots, killed))
        process.start()
        while process.exitcode is None and len(endpoint.requests) < stop:
            time.sleep(0.01)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert ask(server(endpoint), shots, killed, [SHOT_SIZE]) == expected
    assert distinct <= len(endpoint.requests) <= distinct + 2 * 2  # two were in flight at each kill


@pytest.mark.parametrize("style", [REASONING, DIRECT])
def test_the_tiny_model_is_asked_about_two_films_of_three_shots(
    style: PromptStyle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shots = two_films(tmp_path)
    arguments = f"pretrained={TINY_SHOTVL},device=cpu"
    model = AskedModel("shotvl", arguments, passed_on=["--gen_kwargs", "max_new_tokens=32"])
    found = ask(model, shots, tmp_path, ask="letter,term", style=style)
    assert [shot.shot_id for shot, _ in found] == [shot.shot_id for shot in shots] * 2
    votes = [vote for _, some in found for vote in some]
    assert len(votes) > 0.7 * 2 * len(shots) * len(BOTH)  # the media are noise, to which it may give no option
    assert {vote.model.partition("@")[0] for vote in votes} == {TINY_SHOTVL.name}
    assert all(vote.response == vote.details["games"][-1]["response"] for vote in votes)

    def refuse(*_: Any) -> None:
        pytest.fail("lmms-eval was started although every response is stored")

    monkeypatch.setattr(ask_items, "ask_questions", refuse)
    assert ask(model, shots, tmp_path, ask="letter,term", style=style) == found
