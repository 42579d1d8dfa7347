"""From chats to model inputs: prompts with their lengths before any medium is decoded, and media as patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lmms_eval_shotbench.media.stills import BrokenMedium, open_still
from lmms_eval_shotbench.media.stored_medium import StoredMedium
from lmms_eval_shotbench.models.batching import Planned
from lmms_eval_shotbench.models.chats import BEGUN_THOUGHT, Chat, GenerationSettings
from lmms_eval_shotbench.models.media_threads import media_threads
from lmms_eval_shotbench.qwen.input_rules import InputRules
from lmms_eval_shotbench.qwen.inputs import (
    MediaLimits,
    Patches,
    blanked,
    clip_patches,
    grid_from_header,
    still_patches,
)
from lmms_eval_shotbench.qwen.rope_positions import Grid
from lmms_eval_shotbench.runs.response_store import Answer, Failure
from lmms_eval_shotbench.vocabulary import MediaKind


class Plan(NamedTuple):
    """Chats with the same generation settings, ready for an engine."""

    settings: GenerationSettings
    chats: Sequence[Chat]
    ids: list[list[int]]  # token ids of each chat, with one placeholder per medium
    openings: list[str]  # of each response, as far as the prompt contains it
    media: dict[str, StoredMedium]  # by key
    prompts: list[Planned]  # lengths and media of the chats that have not failed
    failed: dict[int, Answer]  # by index of the chat

    def seed(self, prompt: Planned) -> str:
        """Return the seed of a sampled response; the same chat with the same `seed` setting has the same."""
        assert self.settings.sampling is not None
        return f"{self.settings.sampling.seed} {prompt.media} {self.ids[prompt.chat_index]}"


class Planner:
    """Prepares chats and media by the input rules of a checkpoint. Not thread-safe, except `patches`."""

    def __init__(
        self,
        rules: InputRules,
        limits: MediaLimits,
        workers: int,
        template: Mapping[str, Any] | None = None,
    ) -> None:
        """Start the threads that decode media.

        Args:
            rules: Input rules of the checkpoint.
            limits: Size and frame rate of media.
            workers: Number of threads.
            template: Additional arguments of the chat template.
        """
        self.rules, self.limits, self.template = rules, limits, dict(template or {})
        self.threads = media_threads(workers)

    def plan(self, chats: Sequence[Chat]) -> Plan:
        """Estimate prompt lengths from media headers; a chat with an unreadable medium is recorded as failed.

        All chats must have the same generation settings.
        """
        media = {medium.key: medium for chat in chats for medium in chat.media}
        grids = dict(zip(media, self.threads.map(self._grid_or_failure, media.values()), strict=True))
        texts = [self.rendered(chat) for chat in chats]
        ids = self.rules.processor.tokenizer(texts)["input_ids"]
        openings = [BEGUN_THOUGHT if text.endswith(BEGUN_THOUGHT) else "" for text in texts]
        prompts, failed = [], dict[int, Answer]()
        for index, chat in enumerate(chats):
            keys = tuple(medium.key for medium in chat.media)
            tokens = len(ids[index])
            for key in keys:
                grid = grids[key]
                if isinstance(grid, Failure):
                    failed[index] = grid
                else:
                    tokens += self.rules.architecture.medium_tokens(grid)
            if index not in failed:
                prompts.append(Planned(index, tokens, keys))
        return Plan(chats[0].generation, chats, ids, openings, media, prompts, failed)

    def patches(self, medium: StoredMedium) -> Patches:
        """Decode a medium and cut it into patches; raises `BrokenMedium`."""
        rule = self.rules.patch_rule
        if medium.kind is MediaKind.CLIP:
            patches = clip_patches(medium.read(), self.limits, rule, medium.view)
        else:
            patches = still_patches(open_still(medium.read(), medium.view), self.limits, rule)
        return blanked(patches) if self.limits.blank else patches

    def rendered(self, chat: Chat) -> str:
        """Return the text of a chat, with one placeholder per medium."""
        rendered: str = self.rules.processor.apply_chat_template(
            chat.messages, tokenize=False, add_generation_prompt=True, **self.template
        )
        return rendered

    def _grid_or_failure(self, medium: StoredMedium) -> Grid | Failure:
        try:
            return grid_from_header(medium.kind, medium.read(), self.limits, self.rules.patch_rule)
        except BrokenMedium as error:
            return Failure(str(error))
