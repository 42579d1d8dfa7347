"""`shotbench eval`: evaluate a model with lmms-eval and score its responses."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lmms_eval_shotbench.environment import DATA_VARIABLE, DEFAULT_SPLIT, SPLIT_VARIABLE

if TYPE_CHECKING:
    from lmms_eval_shotbench.harness.eval_plan import EvalRequest

SUBSET_FLAGS = ("--limit", "--offset")  # flags of lmms-eval that select questions; only these need a response


def add_eval(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `shotbench eval` to the parser."""
    parser = commands.add_parser(
        "eval",
        help="ask a model through lmms-eval and score it",
        description="A thin front of lmms-eval: every flag not listed here is passed on to it (see lmms-eval --help).",
        allow_abbrev=False,
    )
    parser.add_argument("--tasks", required=True, help="shotbench, shotbench_reasoning, shotbench_<dimension>, …")
    parser.add_argument("--data", help=f"shard folder, Hub id or test.tsv (default: ${DATA_VARIABLE})")
    parser.add_argument(
        "--split", help=f"split of the shards to ask (default: ${SPLIT_VARIABLE}, else {DEFAULT_SPLIT})"
    )
    parser.add_argument("--refined", type=Path, help="RefineShot's test.tsv, for refineshot… (default: rebuilt)")
    parser.add_argument("--out", required=True, type=Path, help="folder for scores.json and samples.jsonl")
    parser.add_argument("--model", required=True, help="any model of lmms-eval, or replay")
    parser.add_argument("--model_args", default="", help="as in lmms-eval; clips get the protocol's settings on top")
    parser.add_argument("--force_simple", action="store_true", help="as in lmms-eval")
    parser.add_argument("--output_path", type=Path, help="as in lmms-eval (default: OUT/lmms_eval)")
    parser.add_argument("--config", type=Path, help="as in lmms-eval, for flags that are not listed here")
    parser.add_argument("--log_samples", action="store_true", help=argparse.SUPPRESS)  # always on
    for flag in SUBSET_FLAGS:
        parser.add_argument(flag, help="as in lmms-eval, for each task")
    parser.set_defaults(run=_eval, passes_on=True)


def _eval(args: argparse.Namespace) -> int:
    from lmms_eval_shotbench.harness.evaluate import evaluation_table, run_evaluation
    from lmms_eval_shotbench.harness.lmms_eval import is_main_process

    evaluation = run_evaluation(_eval_request(args))
    for message in evaluation.warnings + evaluation.errors:
        print(f"shotbench: {message}", file=sys.stderr)
    if not is_main_process():
        return 1 if evaluation.errors else 0
    print(f"\n{evaluation_table(evaluation)}\nwritten to {args.out}")
    return 0 if evaluation.complete else 1


def _eval_request(args: argparse.Namespace) -> EvalRequest:
    from lmms_eval_shotbench.environment import dataset_in_use, split_in_use
    from lmms_eval_shotbench.harness.eval_plan import EvalRequest, check_config

    config = ["--config", str(check_config(args.config))] if args.config else []
    values = [(flag, getattr(args, flag.lstrip("-"))) for flag in SUBSET_FLAGS]
    subset = [part for flag, value in values if value is not None for part in (flag, value)]
    return EvalRequest(
        tasks=args.tasks,
        data=dataset_in_use(args.data),
        split=split_in_use(args.split),
        out=args.out,
        refined=args.refined,
        model=args.model,
        model_args=args.model_args,
        harness_out=args.output_path or args.out / "lmms_eval",
        force_simple=args.force_simple,
        limited=bool(subset),
        passed_on=[*args.passed_on, *subset, *config],
        command=args.command,
    )
