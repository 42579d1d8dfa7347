"""`shotbench train …`: parse the arguments and call the module that does the work."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from verl_recipes.recipes import METHODS, Method

if TYPE_CHECKING:
    from verl_recipes.run.run_folder import TrainingRequest

HELP = {
    "sft": "teach right answers, without a thought",
    "cot_sft": "teach thoughts that end in the right answer",
    "grpo": "reinforce well-formed right answers",
}
Steps = argparse._SubParsersAction


def add_commands(commands: Steps[argparse.ArgumentParser]) -> None:
    """Add the `train` command and its sub-commands to a parser."""
    train = commands.add_parser("train", help="train models on question shards with verl")
    train.set_defaults(extra="train")  # the extra that installs a missing library
    steps = train.add_subparsers(title="steps", metavar="STEP", required=True)
    for method in METHODS:
        _add_method(steps, method)
    _add_merge(steps)
    _add_evaluate(steps)
    _add_ablation(steps)
    _add_tiny_base(steps)
    _add_rows(steps)


def _add_method(steps: Steps[argparse.ArgumentParser], method: Method) -> None:
    step = steps.add_parser(
        method.replace("_", "-"),
        help=HELP[method],
        description=f"{HELP[method].capitalize()}. Further arguments are hydra's: trainer.total_epochs=2 and the like. "
        "The same command goes on with a run that was stopped.",
    )
    step.add_argument("--recipe", required=True, help="3b, 7b, tiny, …: see verl_recipes/config")
    step.add_argument("--data", required=True, metavar="SHARDS", help="shard folder or Hub id, with a dev split")
    step.add_argument("--model", help="Hub id, checkpoint folder or RUN folder to start from (default: the recipe's)")
    step.add_argument("--out", required=True, type=Path, metavar="RUN", help="folder of the run")
    step.add_argument("--attempts", type=int, default=1, help="start a trainer that fails again, so often in all")
    step.add_argument(
        "--dry-run", action="store_true", help="write rows, check everything, print configuration and command"
    )
    step.set_defaults(run=_run_method, method=method, passes_on=True)


def _run_method(args: argparse.Namespace) -> int:
    from verl_recipes.run.launch import train

    order = _order(args)
    if args.dry_run:
        return _dry_run(order)
    train(order, args.attempts)
    print(f"{args.out}: trained; next: shotbench train evaluate {args.out} --data {args.data}")
    return 0


def _order(args: argparse.Namespace) -> TrainingRequest:
    from verl_recipes.run.run_folder import TrainingRequest

    if args.attempts < 1:
        raise ValueError(f"--attempts must be 1 or more, got {args.attempts}")
    for part in args.passed_on:
        if part.startswith("-") or not ("=" in part or part.startswith("~")):  # ~key removes a key
            raise ValueError(f"{part} is neither an option nor an override of the form key=value")
    return TrainingRequest(args.method, args.recipe, args.data, args.out, args.model, tuple(args.passed_on))


def _dry_run(order: TrainingRequest) -> int:
    import shlex

    from omegaconf import OmegaConf

    from verl_recipes.run.launch import prepare
    from verl_recipes.run.run_folder import RunFolder

    with RunFolder(order.out).claimed(order):  # so that rows of another order are not checked instead
        prepared = prepare(order)
    print(OmegaConf.to_yaml(prepared.config, resolve=True))
    print(" ".join(f"{name}={shlex.quote(value)}" for name, value in prepared.environment.items()), end=" ")
    print(shlex.join(prepared.command))
    print(prepared.report.text())
    return 2 if prepared.report.problems else 0


def _add_merge(steps: Steps[argparse.ArgumentParser]) -> None:
    step = steps.add_parser("merge", help="make a model folder of a run's checkpoint")
    step.add_argument("training_run", metavar="RUN", type=Path, help="folder of the run")
    step.add_argument("--step", type=int, help="of the checkpoint (default: the newest whole one)")
    step.add_argument("--out", type=Path, help="model folder (default: RUN/model)")
    step.set_defaults(run=_run_merge)


def _run_merge(args: argparse.Namespace) -> int:
    from verl_recipes.run.merge import merge_run

    print(merge_run(args.training_run, args.out, args.step))
    return 0


def _add_evaluate(steps: Steps[argparse.ArgumentParser]) -> None:
    step = steps.add_parser("evaluate", help="merge a run's newest checkpoint and score it on the test split")
    step.add_argument("training_run", metavar="RUN", type=Path, help="folder of the run, or of a model")
    step.add_argument("--data", required=True, metavar="SHARDS", help="shard folder or Hub id")
    step.add_argument("--split", default="test", help="of the shards (default: test)")
    step.add_argument("--blank", action="store_true", help="show grey in place of every medium")
    _add_max_new_tokens(step)
    step.add_argument("--out", type=Path, help="folder for the scores (default: RUN/eval)")
    step.set_defaults(run=_run_evaluate)


def _add_max_new_tokens(step: argparse.ArgumentParser) -> None:
    step.add_argument(
        "--max-new-tokens", type=int, help="of a response, where a model does not know its end (default: 1,024)"
    )


def _run_evaluate(args: argparse.Namespace) -> int:
    from verl_recipes.run.evaluate_run import evaluate_model
    from verl_recipes.run.merge import merge_run
    from verl_recipes.run.run_folder import is_run

    folder: Path = args.training_run
    model = merge_run(folder) if is_run(folder) else folder
    out = args.out or folder / "eval"
    options = {"split": args.split, "blank": args.blank, "max_new_tokens": args.max_new_tokens}
    for task, scores in evaluate_model(model, args.data, out, **options).items():
        macro = scores["accuracy"]["macro"]
        print(f"{task}: macro {100 * macro['value']:.1f} ({100 * macro['low']:.1f} to {100 * macro['high']:.1f})")
    print(f"written to {out}")
    return 0


def _add_ablation(steps: Steps[argparse.ArgumentParser]) -> None:
    step = steps.add_parser(
        "ablation",
        help="train and score the rows of the paper's ablation: SFT, CoT-SFT, GRPO and their orders",
        description="Further arguments are METHOD:key=value, overrides for one method: grpo:trainer.total_epochs=1",
    )
    step.add_argument("--recipe", default="tiny", help="default: tiny")
    step.add_argument("--data", required=True, metavar="SHARDS", help="with splits sft, grpo and dev")
    step.add_argument("--test", metavar="SHARDS", help="with the split test (default: those of --data)")
    step.add_argument("--model", help="the base model (default: the recipe's)")
    step.add_argument("--seeds", type=int, default=3, help="runs of each row (default: 3)")
    step.add_argument("--out", required=True, type=Path, help="folder of all runs, the table and the curves")
    _add_max_new_tokens(step)
    step.set_defaults(run=_run_ablation, passes_on=True)


def _run_ablation(args: argparse.Namespace) -> int:
    from verl_recipes.run.ablation import AblationPlan, overrides_by_method, run_ablation
    from verl_recipes.run.ablation_report import write_ablation_report

    if args.seeds < 1:
        raise ValueError(f"--seeds must be 1 or more, got {args.seeds}")
    seeds = tuple(range(1, args.seeds + 1))
    overrides = overrides_by_method(args.passed_on)
    plan = AblationPlan(
        args.recipe,
        args.data,
        args.out,
        args.model,
        seeds,
        overrides,
        max_new_tokens=args.max_new_tokens,
        test=args.test,
    )
    table = write_ablation_report(run_ablation(plan), args.out)
    print(table.read_text(encoding="utf-8"))
    print(f"written to {table}, with curves.png and dimensions.png beside it")
    return 0


def _add_tiny_base(steps: Steps[argparse.ArgumentParser]) -> None:
    step = steps.add_parser("tiny-base", help="train the tiny base model, from nothing, on one CPU core")
    step.add_argument("shards", metavar="SHARDS", nargs="+", help="shard folders with a split sft, of the studio")
    step.add_argument("--out", required=True, type=Path, metavar="MODEL", help="checkpoint folder")
    step.add_argument("--start", type=Path, metavar="BASE", help="checkpoint to go on from")
    step.add_argument("--finish", action="store_true", help="practise whole answers, which the recipe cot-sft does too")
    step.set_defaults(run=_run_tiny_base)


def _run_tiny_base(args: argparse.Namespace) -> int:
    import sys

    from verl_recipes.tiny_base.train import BASE, FINISH, format_accuracy, train_tiny_base

    found = train_tiny_base(
        args.shards, args.out, args.start, FINISH if args.finish else BASE, lambda line: print(line, file=sys.stderr)
    )
    print(f"{args.out}: {format_accuracy(found)} on held-out films")
    return 0


def _add_rows(steps: Steps[argparse.ArgumentParser]) -> None:
    from lmms_eval_shotbench.prompts import DIRECT, PROMPT_STYLES

    step = steps.add_parser("rows", help="turn a split of shards into the rows verl trains on")
    step.set_defaults(extra="data")
    step.add_argument("shards", metavar="SHARDS", help="shard folder or Hub id")
    step.add_argument("--split", required=True, help="split to turn into rows: sft, grpo, dev, …")
    step.add_argument(
        "--for", dest="purpose", choices=("sft", "grpo"), required=True, help="the trainer that reads them"
    )
    styles = [style.name for style in PROMPT_STYLES]
    step.add_argument("--style", choices=styles, default=DIRECT.name, help=f"prompt style (default: {DIRECT.name})")
    step.add_argument("--out", metavar="ROWS", type=Path, required=True, help="folder for the rows and their media")
    step.set_defaults(run=_run_rows)


def _run_rows(args: argparse.Namespace) -> int:
    """Write the rows and print their path."""
    from lmms_eval_shotbench.prompts import prompt_style
    from verl_recipes.training_rows import write_training_rows

    path = write_training_rows(args.shards, args.split, args.out, args.purpose, prompt_style(args.style))
    print(f"{path}: the media are in {path.parent / 'media'}")
    return 0
