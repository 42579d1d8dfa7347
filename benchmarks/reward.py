"""Microseconds per response of our reward, a plain regex reward and verl's own reward for geo3k.

    python benchmarks/reward.py [--limit 200] [--repeat 5] [--json]

Ours is the function a reward worker calls, with the question parsed from its row (and cached). Theirs are those of
typical recipes: one pattern for the format and one for the letter, and `verl.utils.reward_score.geo3k` if verl is
installed. All three run on the stored responses to the real questions that have tags. Ours decides more (which option a
text names, whether it names two), so it may cost more; a training step has thousands of responses, so that seconds
would matter.

Times are processor times, medians of --repeat rounds in which both sides alternate.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from grading import Case, read_cases, real_data
from machine import Figures, figure, machine, print_figure, print_json

Reward = Callable[[Case], float]


def ours() -> Reward:
    """Our reward as verl calls it; a row is text, as in the Parquet file."""
    from verl_recipes.inside_verl.answer_reward import compute_score

    rows: dict[int, dict[str, Any]] = {}  # two question sets use the same ids

    def reward(case: Case) -> float:
        item = case.item
        if id(item) not in rows:
            rows[id(item)] = {"index": item.source_index, "item": json.dumps(item.to_row())}
        return compute_score(item.dimension, case.response, item.answer, rows[id(item)])["score"]

    return reward


def ours_first_time() -> Reward:
    """The same without the cache of questions."""
    from verl_recipes import reward as module

    cached = ours()

    def reward(case: Case) -> float:
        module._read_item.cache_clear()
        return cached(case)

    return reward


def regex_reward() -> Reward:
    """The reward of typical recipes: two patterns."""
    well_formed = re.compile(r"\s*<think>.*?</think>\s*<answer>.*?</answer>\s*", re.DOTALL)
    letter = re.compile(r"<answer>\s*([A-D])\b.*?</answer>", re.DOTALL)

    def reward(case: Case) -> float:
        found = letter.search(case.response)
        correct = found is not None and found[1] == case.item.answer
        return 0.5 * bool(well_formed.fullmatch(case.response)) + 1.0 * correct

    return reward


def geo3k_reward() -> Reward | None:
    """verl's reward for its multimodal example, or None without verl (its module needs mathruler)."""
    try:
        from verl.utils.reward_score import geo3k
    except ImportError:
        return None

    def reward(case: Case) -> float:
        return float(geo3k.compute_score(case.response, case.item.answer))

    return reward


def alternate(first: Reward, second: Reward, cases: Sequence[Case], repeat: int) -> dict[str, float]:
    """Microseconds per response of both sides, alternating."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(1 + repeat):
        for side, reward in enumerate((first, second)):
            begin = time.process_time()  # unaffected by other processes
            for case in cases:
                reward(case)
            times[side].append(1e6 * (time.process_time() - begin) / len(cases))
    return figure(median(times[0][1:]), median(times[1][1:]))  # the first round fills caches


def compare(cases: Sequence[Case], repeat: int) -> Figures:
    """Compare every pair of rewards."""
    pairs: dict[str, tuple[Reward, Reward | None]] = {
        "regex_us": (ours(), regex_reward()),
        "regex_question_read_us": (ours_first_time(), regex_reward()),
        "geo3k_us": (ours(), geo3k_reward()),
    }
    figures: Figures = {}
    for name, (mine, theirs) in pairs.items():
        if theirs is None:
            print(f"{name}: verl's geo3k reward cannot be imported here, so there is nothing to compare with")
            continue
        figures[name] = alternate(mine, theirs, cases, repeat)
        print_figure(name, figures[name])
    return figures


def megabyte_us() -> float:
    """Microseconds for a megabyte of opening tags, the slowest attack."""
    from verl_recipes.reward import score_response

    case = read_cases(real_data(), 1)[0]
    text = "<think>" * (1_000_000 // 7)
    begin = time.process_time()
    score_response(case.item, text)
    return 1e6 * (time.process_time() - begin)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--limit", type=int, help="so many responses of every file")
    parser.add_argument("--repeat", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    args = parser.parse_args(arguments)
    cases = [case for case in read_cases(real_data(), args.limit) if "<think>" in case.response]
    if not cases:
        parser.error(f"no responses in {real_data()}; set SHOTBENCH_REAL_DATA")
    length = sum(len(case.response) for case in cases) / len(cases)
    print(
        f"{machine()}\nreward of {len(cases):,} real responses of {length:,.0f} characters on average, in microseconds"
    )
    figures = compare(cases, args.repeat)
    print(f"a megabyte of opening tags: {megabyte_us() / 1000:,.0f} ms")
    if args.json:
        print_json(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
