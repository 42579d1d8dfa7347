"""Results shared by the responses to one prompt: computed once, also when that fails, and freed afterwards."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

pytest.importorskip("numpy")
import numpy
from PIL import Image

from verl_recipes.inside_verl import prompt_media
from verl_recipes.inside_verl.prompt_media import DecodedMediaCache, Media, PromptMedia

RESPONSES = 12


class Decoder:
    """Decodes to one small clip, or fails, and counts."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.calls = 0
        self.failure = failure

    async def __call__(self) -> Media:
        self.calls += 1
        await asyncio.sleep(0)  # so that the other responses ask while it decodes
        if self.failure:
            raise self.failure
        return {"videos": [(numpy.zeros((2, 3, 4, 4), dtype="uint8"), {"fps": 12.0})]}


def messages(path: str = "a.mp4", text: str = "Which?") -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "video", "video": path}, {"type": "text", "text": text}]}]


def prompt(limit: int = 0) -> PromptMedia:
    return PromptMedia("uid", DecodedMediaCache(limit))


async def answered(shared: PromptMedia, decode: Decoder, chat: list[dict[str, Any]]) -> list[Any]:
    """The media that each of the responses to a prompt gets, or its error."""

    async def response() -> Media:
        current = prompt_media.current()
        assert current is shared
        return await current.media(chat, decode)

    prompt_media.begin(shared)
    return await asyncio.gather(*(response() for _ in range(RESPONSES)), return_exceptions=True)


def test_concurrent_responses_decode_once_and_get_the_same_media_in_lists_of_their_own() -> None:
    shared, decode = prompt(), Decoder()
    found = asyncio.run(answered(shared, decode, messages()))
    assert decode.calls == 1
    assert len({id(media["videos"][0]) for media in found}) == 1
    assert len({id(media["videos"]) for media in found}) == RESPONSES
    assert shared.shares(found[0]["videos"])
    assert not shared.shares([*found[0]["videos"], "a picture that a tool returned"])


def test_a_failed_decoding_fails_every_response_and_is_not_repeated() -> None:
    failure = OSError("a.mp4: truncated")
    decode = Decoder(failure)
    found = asyncio.run(answered(prompt(), decode, messages()))
    assert found == [failure] * RESPONSES
    assert decode.calls == 1


def test_a_cancelled_response_does_not_cancel_the_others() -> None:
    async def first_is_cancelled() -> Media:
        shared, decode = prompt(), Decoder()
        first, second = (asyncio.create_task(shared.media(messages(), decode)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(first_is_cancelled())["videos"]


@pytest.mark.parametrize("failure", [None, OSError("broken")], ids=["decoded", "failed"])
def test_nothing_is_kept_after_the_last_response_although_a_task_lives_on(failure: OSError | None) -> None:
    freed: list[weakref.ref[Any]] = []

    async def one_prompt() -> asyncio.Task[None]:
        shared = prompt()
        for media in await answered(shared, Decoder(failure), messages()):
            if not isinstance(media, BaseException):
                freed.append(weakref.ref(media["videos"][0][0]))
        freed.extend(map(weakref.ref, shared._results.values()))
        lives_on = asyncio.create_task(asyncio.sleep(60))  # its context holds `shared`
        shared.close()
        return lives_on

    async def steps() -> None:
        living = [await asyncio.create_task(one_prompt()) for _ in range(3)]
        gc.collect()
        assert freed
        assert all(reference() is None for reference in freed)
        for task in living:
            task.cancel()

    asyncio.run(steps())


def test_different_messages_are_decoded_separately() -> None:
    async def two() -> int:
        shared, decode = prompt(), Decoder()
        await shared.media(messages("a.mp4"), decode)
        await shared.media(messages("b.mp4"), decode)
        return decode.calls

    assert asyncio.run(two()) == 2


def test_features_belong_to_exactly_these_media() -> None:
    shared = prompt()
    still, clip, features = object(), object(), {"pixel_values": 1}
    shared.keep_features([still], [clip], features)
    assert shared.features([still], [clip]) is features
    assert shared.features([still], None) is None
    assert shared.features([still], [object()]) is None


# ---- across prompts -------------------------------------------------------------------------------------------------


def clip(frames: int) -> Media:
    return {"videos": [(numpy.zeros((frames, 3, 10, 10), dtype="uint8"), {})]}  # 300 bytes a frame


def test_the_cache_drops_the_least_recently_used_media_and_never_exceeds_its_limit() -> None:
    cache = DecodedMediaCache(1000)
    cache.add("a", clip(1))
    cache.add("b", clip(2))
    assert cache.get("a") and cache.nbytes == 900
    cache.add("c", {"images": [Image.new("RGB", (10, 10))]})
    assert cache.get("b") is None and cache.get("a") and cache.get("c") and cache.nbytes == 600
    cache.add("too large", clip(4))
    assert cache.get("too large") is None and cache.nbytes == 600


def test_a_cached_medium_is_not_decoded_in_the_next_epoch_whatever_is_asked_about_it() -> None:
    async def two_epochs(limit: int) -> int:
        cache, decode = DecodedMediaCache(limit), Decoder()
        for text in ("Which?", "And which?"):
            shared = PromptMedia("uid", cache)
            assert (await shared.media(messages(text=text), decode))["videos"]
            shared.close()
        return decode.calls

    assert asyncio.run(two_epochs(10**6)) == 1
    assert asyncio.run(two_epochs(0)) == 2


def test_media_given_as_objects_are_never_found_in_the_cache() -> None:
    async def twice() -> int:
        cache, decode = DecodedMediaCache(10**6), Decoder()
        for _ in range(2):
            picture = Image.new("RGB", (8, 8))
            chat = [{"role": "user", "content": [{"type": "image", "image": picture}]}]
            await PromptMedia("uid", cache).media(chat, decode)
        return decode.calls

    assert asyncio.run(twice()) == 2
