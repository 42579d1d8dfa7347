"""`blank=True`: responses without visual input."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

pytestmark = pytest.mark.host
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("lmms_eval")

from lmms_eval_shotbench import prompts
from lmms_eval_shotbench.media.stored_medium import StoredMedium
from lmms_eval_shotbench.models.chats import read_chat
from lmms_eval_shotbench.models.shotvl import ShotVL
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.qwen.checkpoint import load_checkpoint
from lmms_eval_shotbench.qwen.inputs import MediaLimits
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.engine_answers import transformers_answers

SMALL = MediaLimits(still_min=3136, still_max=30_000, clip_min=784, clip_max=8_000)
NAMES = {MediaKind.STILL: "image", MediaKind.CLIP: "video"}


@pytest.mark.parametrize("kind", list(MediaKind))
def test_blanked_media_give_identical_answers_and_keep_their_size(
    studio_shards: Path, tiny_model_unconstrained: Path, kind: MediaKind
) -> None:
    shards = ShardFolder(studio_shards)
    items = [item for item in shards.items() if item.media_kind is kind][:6]
    checkpoint = load_checkpoint(str(tiny_model_unconstrained), device=torch.device("cpu"))
    chats = [
        read_chat(
            prompts.messages(
                items[0],
                prompts.DIRECT,
                [{"type": NAMES[kind], "url": StoredMedium.of(kind, "", partial(shards.media, item.item_id))}],
            ),
            {"max_new_tokens": 8},
        )
        for item in items
    ]

    original, blanked = (
        transformers_answers(checkpoint, limits, chats) for limits in (SMALL, SMALL._replace(blank=True))
    )
    assert len({answer.text for answer in original}) > 1  # type: ignore[union-attr]
    lengths = {answer.input_tokens for answer in blanked}  # type: ignore[union-attr]
    assert [answer.input_tokens for answer in original] == [answer.input_tokens for answer in blanked]  # type: ignore[union-attr]
    assert len({answer.text for answer in blanked}) <= len(lengths)  # type: ignore[union-attr]


def test_a_response_to_blank_media_has_another_key(studio_shards: Path, tiny_model: Path) -> None:
    item = next(iter(ShardFolder(studio_shards).items()))
    medium = StoredMedium(item.media_kind, "0" * 64, bytes)
    messages = prompts.messages(item, prompts.DIRECT, [{"type": NAMES[item.media_kind], "url": medium}])
    chat = read_chat(messages, {})
    keys = {ShotVL(str(tiny_model), device="cpu", blank=blank)._key(chat) for blank in (False, True)}
    assert len(keys) == 2
