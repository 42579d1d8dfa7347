"""Compare what `shotvl` gives the model and gets from it on vLLM with the same on transformers, on a CPU.

    .venv-vllm/bin/python benchmarks/vllm_equality.py [--shards DIR] [--limit 204] [--new-tokens 64]

For Qwen2.5-VL (the packaged tiny model) and Qwen3-VL (a random one), in float32 and bfloat16, for stills and for clips
at four frame rates, in both prompt styles:

  pixels     distinct media whose values in the vision tower are equal to the bit
  positions  requests whose token ids and rotary positions are equal
  responses  greedy responses of equal tokens; for each that differs, the difference between the log-probabilities of
             the two best tokens, by transformers, where the responses part: 0 is a tie

The exit status is 1 if pixels or positions differ, or a response in float32 differs that is no tie.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from machine import machine

from lmms_eval_shotbench import prompts
from lmms_eval_shotbench.media.clips import CLIP_MAX_PIXELS
from lmms_eval_shotbench.media.stored_medium import StoredMedium
from lmms_eval_shotbench.models.chats import Chat, read_chat
from lmms_eval_shotbench.models.planning import Planner
from lmms_eval_shotbench.models.shotvl_settings import media_limits
from lmms_eval_shotbench.models.vllm_engine import VllmEngine
from lmms_eval_shotbench.models.vllm_start import VllmArguments, expected_inputs
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.qwen.checkpoint import Checkpoint, load_checkpoint
from lmms_eval_shotbench.qwen.inputs import Prompt
from lmms_eval_shotbench.qwen.pixel_values import vision_inputs
from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from lmms_eval_shotbench.vocabulary import MediaKind

sys.path.append(str(Path(__file__).parents[1]))

from tests.support.tiny_families.trainable import make_trainable

CPU = torch.device("cpu")
RATES = (2.0, 8.0, 12.0, 23.976)
TIE = 1e-4  # difference of log-probabilities, in float32
ARGUMENTS = {"enforce_eager": True, "kv_cache_memory_bytes": 500_000_000, "max_num_seqs": 32}
COLUMNS = ("model", "dtype", "media", "requests", "pixels", "positions", "responses", "difference at the forks")
NAMES = {MediaKind.STILL: "image", MediaKind.CLIP: "video"}


class Compared(NamedTuple):
    """Numbers of equal media, positions and responses, and the differences at the forks of other responses."""

    requests: int
    media: int
    pixels: int
    positions: int
    responses: int
    forks: list[float]

    def row(self, *names: str) -> str:
        """Format one line of the table."""
        forks = f"up to {max(self.forks):.4f}" if self.forks else "–"
        counts = (self.requests, f"{self.pixels} of {self.media}", self.positions, self.responses, forks)
        return f"| {' | '.join(map(str, (*names, *counts)))} |"


class Side:
    """A checkpoint on vLLM and on transformers."""

    def __init__(self, folder: Path, dtype: str, items: Sequence[QAItem], shards: ShardFolder, new_tokens: int) -> None:
        self.checkpoint = load_checkpoint(str(folder), device=CPU, dtype=dtype)
        self.dtype: torch.dtype = self.checkpoint.model.dtype
        self.arguments = VllmArguments(str(folder), None, CPU, self.dtype, ARGUMENTS)
        self.new_tokens, self.shards, self.llm = new_tokens, shards, None
        engine, planner = self.engine(RATES[-1])
        engine.start([planner.plan(self.chats(items))])
        self.llm = engine.llm

    def engine(self, fps: float) -> tuple[VllmEngine, Planner]:
        """Return the engine at a frame rate; all have the same vLLM."""
        limits = media_limits(self.checkpoint, fps, CLIP_MAX_PIXELS, None, None)
        planner = Planner(self.checkpoint, limits, workers=2)
        engine = VllmEngine(self.arguments, planner)
        engine.llm = self.llm
        return engine, planner

    def chats(self, items: Sequence[QAItem]) -> list[Chat]:
        """Return the questions in both styles."""
        return [self._chat(item, style) for style in (prompts.DIRECT, prompts.REASONING) for item in items]

    def compare(self, items: Sequence[QAItem], fps: float) -> Compared:
        """Answer the questions on both."""
        engine, planner = self.engine(fps)
        plan = planner.plan(self.chats(items))
        tokens: dict[int, list[int]] = {}
        respond = engine._response

        def note(output: Any, plan: Any) -> Any:
            tokens[int(output.request_id)] = list(output.outputs[0].token_ids)
            return respond(output, plan)

        engine._response = note  # type: ignore[method-assign]
        assert self.llm is not None
        self.llm.collective_rpc("record_inputs")
        for _ in engine.answers(plan):
            pass
        (recorded,) = self.llm.collective_rpc("recorded_inputs")
        shown = {key: planner.patches(medium) for key, medium in plan.media.items()}
        given = [
            Prompt(ids, [shown[one.key] for one in chat.media]) for ids, chat in zip(plan.ids, plan.chats, strict=True)
        ]
        expected = [expected_inputs(prompt, self.checkpoint, self.dtype) for prompt in given]
        media = {repr(one["media"][0]) for one in expected}
        positions = Counter(repr(one["positions"][0]) for one in expected)
        forks = list(self._forks(given, tokens))
        return Compared(
            len(given),
            len(media),
            len(media & set(map(repr, recorded["media"]))),
            (positions & Counter(map(repr, recorded["positions"]))).total(),
            len(given) - len(forks),
            forks,
        )

    def _forks(self, given: Sequence[Prompt], tokens: dict[int, list[int]]) -> Iterator[float]:
        """Yield, for each response that differs, how much better the best token is than the next, at the fork."""
        for index, prompt in enumerate(given):
            (theirs,) = self.checkpoint.answer([prompt], self.new_tokens)
            if tokens[index] != theirs:
                pairs = zip(tokens[index], theirs, strict=False)
                same = [ours for ours, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
                yield margin(self.checkpoint, prompt, same)

    def _chat(self, item: QAItem, style: Any) -> Chat:
        medium = StoredMedium.of(item.media_kind, "", partial(self.shards.media, item.item_id))
        messages = prompts.messages(item, style, [{"type": NAMES[item.media_kind], "url": medium}])
        return read_chat(messages, {"max_new_tokens": self.new_tokens})


def margin(checkpoint: Checkpoint, prompt: Prompt, tokens: Sequence[int]) -> float:
    """Return the log-probability of the best next token after a prompt and tokens, minus that of the second best."""
    batch = checkpoint.padded([prompt])
    more = torch.tensor([list(tokens)], dtype=torch.long)
    ahead = batch["position_ids"].amax() + 1 + torch.arange(more.shape[1])
    pixels = vision_inputs(prompt.media, checkpoint.patch_rule, CPU, checkpoint.model.dtype)
    with torch.inference_mode():
        logits = checkpoint.model(
            input_ids=torch.cat([batch["input_ids"], more], 1),
            position_ids=torch.cat([batch["position_ids"], ahead.expand(3, 1, -1)], 2),
            logits_to_keep=1,
            **pixels,
        ).logits[0, -1]
    best, second = logits.float().log_softmax(-1).topk(2).values.tolist()
    return float(best - second)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shards", type=Path, default=Path("out/films"), help="default: those of make demo")
    parser.add_argument("--limit", type=int, default=204, help="of questions, spread over all (default: 204)")
    parser.add_argument("--new-tokens", type=int, default=64, help="per response (default: 64)")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    given = parser.parse_args()
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    shards = ShardFolder(given.shards)
    items = list(shards.items())
    items = items[:: max(1, len(items) // given.limit)][: given.limit]
    stills, clips = ([item for item in items if item.media_kind is kind] for kind in MediaKind)
    print(f"{machine()}\n\n| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|", flush=True)
    good = True
    with tempfile.TemporaryDirectory() as work:
        models = {"Qwen2.5-VL": TINY_SHOTVL, "Qwen3-VL": make_trainable("qwen3_vl", Path(work))}
        for name, folder in models.items():
            for dtype in given.dtypes:
                side = Side(folder, dtype, items, shards, given.new_tokens)
                for media, some, fps in [
                    ("stills", stills, 12.0),
                    *((f"clips, {fps:g} fps", clips, fps) for fps in RATES),
                ]:
                    found = side.compare(some, fps)
                    print(found.row(name, dtype, media), flush=True)
                    good &= found.pixels == found.media and found.positions == found.requests
                    good &= dtype != "float32" or all(one < TIE for one in found.forks)
                assert side.llm is not None
                side.llm.llm_engine.engine_core.shutdown()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
