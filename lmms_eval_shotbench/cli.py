"""The `shotbench` command: reads arguments, calls the functions that do the work, prints, sets the exit status.

Exit status: 0 done; 1 done, but something is missing or failed; 2 nothing done, the request or its input is wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lmms_eval_shotbench import __version__

if TYPE_CHECKING:
    from lmms_eval_shotbench.eval_plan import EvalRequest
    from lmms_eval_shotbench.qa_item import QAItem

EVAL_FLAGS_KEPT = ("--limit", "--offset")  # lmms-eval's flags that also change which questions we expect


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parser = build_parser()
    args, passed_on = parser.parse_known_args(arguments)
    if passed_on and not args.passes_on:
        parser.error(f"unknown arguments: {' '.join(passed_on)}")
    args.passed_on = passed_on
    try:
        run: Callable[[argparse.Namespace], int] = args.run
        return run(args)
    except ModuleNotFoundError as error:
        print(
            f"shotbench: {error.name} is not installed; pip install 'lmms-eval-shotbench[{args.extra}]'",
            file=sys.stderr,
        )
        return 2
    except (ValueError, FileNotFoundError, FileExistsError, RuntimeError) as error:
        print(f"shotbench: {error}", file=sys.stderr)
        return 2


def build_parser() -> argparse.ArgumentParser:
    """All commands; those of the other packages are mounted from there."""
    from data_pipeline.cli import add_commands
    from verl_recipes.cli import add_commands as add_training

    parser = argparse.ArgumentParser(prog="shotbench", description="The language of film: test models, make data.")
    parser.add_argument("--version", action="version", version=f"shotbench {__version__}")
    parser.set_defaults(passes_on=False, extra="eval")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_eval(commands)
    _add_score(commands)
    _add_tasks_path(commands)
    _add_tiny_model(commands)
    add_commands(commands)
    add_training(commands)
    return parser


def _add_eval(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "eval",
        help="ask a model through lmms-eval and score it",
        description="A thin front of lmms-eval: every flag not listed here is passed on to it (see lmms-eval --help).",
        allow_abbrev=False,
    )
    parser.add_argument("--tasks", required=True, help="shotbench, shotbench_reasoning, shotbench_<dimension>, …")
    parser.add_argument("--data", help="shard folder, Hub id or test.tsv (default: $SHOTBENCH_DATA)")
    parser.add_argument("--split", help="split of the shards to ask (default: $SHOTBENCH_SPLIT, else test)")
    parser.add_argument("--out", required=True, type=Path, help="folder for scores.json and samples.jsonl")
    parser.add_argument("--model", required=True, help="any model of lmms-eval, or replay")
    parser.add_argument("--model_args", default="", help="as in lmms-eval; clips get the protocol's settings on top")
    parser.add_argument("--force_simple", action="store_true", help="as in lmms-eval")
    parser.add_argument("--output_path", type=Path, help="as in lmms-eval (default: OUT/lmms_eval)")
    parser.add_argument("--config", type=Path, help="as in lmms-eval, for flags that are not listed here")
    parser.add_argument("--log_samples", action="store_true", help=argparse.SUPPRESS)  # always on
    for flag in EVAL_FLAGS_KEPT:
        parser.add_argument(flag, help="as in lmms-eval, for each task")
    parser.set_defaults(run=_eval, passes_on=True)


def _eval(args: argparse.Namespace) -> int:
    from lmms_eval_shotbench.evaluate import evaluation_table, run_evaluation
    from lmms_eval_shotbench.harness import is_main_process

    evaluation = run_evaluation(_eval_request(args))
    for message in evaluation.warnings + evaluation.errors:
        print(f"shotbench: {message}", file=sys.stderr)
    if not is_main_process():
        return 1 if evaluation.errors else 0
    print(f"\n{evaluation_table(evaluation)}\nwritten to {args.out}")
    return 0 if evaluation.complete else 1


def _eval_request(args: argparse.Namespace) -> EvalRequest:
    from lmms_eval_shotbench.eval_plan import EvalRequest, check_config
    from lmms_eval_shotbench.shards import dataset_in_use, split_in_use

    config = ["--config", str(check_config(args.config))] if args.config else []
    kept = [(flag, getattr(args, flag.lstrip("-"))) for flag in EVAL_FLAGS_KEPT]
    kept_on = [part for flag, value in kept if value is not None for part in (flag, value)]
    return EvalRequest(
        tasks=args.tasks,
        data=dataset_in_use(args.data),
        split=split_in_use(args.split),
        out=args.out,
        model=args.model,
        model_args=args.model_args,
        harness_out=args.output_path or args.out / "lmms_eval",
        force_simple=args.force_simple,
        limited=bool(kept_on),
        passed_on=[*args.passed_on, *kept_on, *config],
    )


def _add_score(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from lmms_eval_shotbench.grading import PROTOCOLS
    from lmms_eval_shotbench.score import FORMATS

    parser = commands.add_parser("score", help="score stored responses, without a model")
    parser.add_argument("questions", help="test.tsv, shard folder or Hub id")
    parser.add_argument("responses", type=Path, help=".jsonl(.gz) with index and response, or .xlsx/.tsv predictions")
    parser.add_argument("--split", default="test", help="split of a shard folder (default: test)")
    parser.add_argument("--protocol", choices=PROTOCOLS, default=PROTOCOLS[0])
    parser.add_argument("--format", choices=tuple(FORMATS), default=next(iter(FORMATS)))
    parser.add_argument("--out", type=Path, help="write there instead of printing")
    parser.add_argument("--allow-missing", action="store_true", help="exit 0 although items have no response")
    judge = parser.add_argument_group("judge", "for --protocol official: a model that matches undecided responses")
    judge.add_argument("--judge-url", help="OpenAI-compatible endpoint, such as http://localhost:8000/v1")
    judge.add_argument("--judge-model", help="model name at that endpoint")
    judge.add_argument("--judge-cache", type=Path, help="file of earlier verdicts (default: in the cache folder)")
    parser.set_defaults(run=_score)


def _score(args: argparse.Namespace) -> int:
    from lmms_eval_shotbench.responses import match_responses, read_responses
    from lmms_eval_shotbench.score import FORMATS, first_indices, score_responses
    from lmms_eval_shotbench.shards import read_questions
    from lmms_eval_shotbench.whole_file import write_whole

    items = read_questions(args.questions, args.split)
    responses = match_responses(items, read_responses(args.responses), args.responses)
    judged = _judged(args, items, responses)
    scored = score_responses(items, responses, args.protocol, judged=judged)
    text = FORMATS[args.format](scored)
    if args.out:
        write_whole(args.out, text.rstrip("\n") + "\n")
    else:
        print(text.rstrip("\n"))
    if scored.unanswered:
        print(
            f"shotbench: no response for {len(scored.unanswered)} of {len(items)} items "
            f"(index {first_indices(scored.unanswered)}); they count as wrong",
            file=sys.stderr,
        )
    return 1 if scored.unanswered and not args.allow_missing else 0


def _judged(args: argparse.Namespace, items: Sequence[QAItem], responses: Sequence[str]) -> dict[int, str]:
    if not args.judge_url:
        return {}
    if args.protocol != "official" or not args.judge_model:
        raise ValueError("--judge-url needs --judge-model and --protocol official; strict grading takes no judge")
    from lmms_eval_shotbench.judge import Judge, judge_undecided
    from lmms_eval_shotbench.media import cache_folder

    cache = args.judge_cache or cache_folder("judge") / "verdicts.sqlite"
    report = judge_undecided(Judge(args.judge_url, args.judge_model, cache), items, responses)
    print(
        f"shotbench: judge named {len(report.letters)} letters ({report.from_cache} verdicts from the cache), "
        f"left {report.undecided} undecided, failed on {report.failed} {report.first_error}".rstrip(),
        file=sys.stderr,
    )
    return report.letters


def _add_tasks_path(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("tasks-path", help="print the folder for lmms-eval --include_path")
    parser.set_defaults(run=_tasks_path)


def _tasks_path(_args: argparse.Namespace) -> int:
    from lmms_eval_shotbench.harness import TASKS_PATH

    print(TASKS_PATH)
    return 0


def _add_tiny_model(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "tiny-model",
        help="print the folder of the tiny Qwen2.5-VL that comes with this package, trained on studio films",
    )
    parser.add_argument("--random", action="store_true", help="make one of random weights instead, for tests")
    parser.add_argument("--out", type=Path, help="checkpoint folder for --random")
    parser.set_defaults(run=_tiny_model)


def _tiny_model(args: argparse.Namespace) -> int:
    from lmms_eval_shotbench.models.tiny_qwen import TINY_SHOTVL, make_tiny_qwen

    if args.random != bool(args.out):
        raise ValueError("--random and --out go together; without them the folder of the trained model is printed")
    print(make_tiny_qwen(args.out) if args.random else TINY_SHOTVL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
