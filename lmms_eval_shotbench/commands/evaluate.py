"""`shotbench eval`: evaluate a model with lmms-eval and score its responses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lmms_eval_shotbench.commands.command import About, Invocation, one_command, print_message
from lmms_eval_shotbench.commands.options import (
    MODEL,
    Currency,
    ModelArgs,
    ModelType,
    Preset,
    PriceIn,
    PriceOut,
    ReasoningTags,
    prices_of,
)
from lmms_eval_shotbench.environment import DATA_VARIABLE, DEFAULT_DATASET, DEFAULT_SPLIT, SPLIT_VARIABLE

QUESTIONS, SAMPLING, HARNESS = "Questions", "Sampling", "Options of lmms-eval"  # panels


def responses_kept(params: Mapping[str, Any]) -> str:
    """What an interrupted evaluation leaves behind."""
    from lmms_eval_shotbench.environment import responses_in_use
    from lmms_eval_shotbench.harness.run_files import RESPONSES

    folder = responses_in_use(params["use_cache"]) or params["out"] / RESPONSES
    if folder.is_dir() and any(folder.iterdir()):
        return f"the responses so far are in {folder}, and the same command continues from there"
    return "no response had come yet; the same command starts over"


app, command = one_command(
    "eval",
    About(
        kept=responses_kept,
        examples=(
            "shotbench eval --tasks shotbench_reasoning --data shards/shotbench \\",
            "    --model shotvl --model_args pretrained=Vchitect/ShotVL-3B \\",
            "    --out results/shotvl-3b",
            "shotbench eval --tasks shotbench_reasoning --data shards/shotbench \\",
            "    --model shotvl --model_args pretrained=Vchitect/ShotVL-3B \\",
            "    --samples 8 --temperature 0.6 --out results/sampled",
            "shotbench eval --tasks shotbench --data shards/mine --limit 8 \\",
            "    --model qwen2_5_vl --out results/try --batch_size 4",
            "shotbench eval --tasks shotbench --data shards/shotbench \\",
            "    --preset internvl3-8b --out results/internvl3-8b",
            "shotbench eval --tasks shotbench_shot_size --data shards/shotbench \\",
            "    --model openai --out results/size \\",
            "    --model_args model=NAME,base_url=http://localhost:8000/v1",
            "shotbench eval --tasks shotbench --data shards/shotbench --model replay \\",
            "    --model_args responses=responses.jsonl --out results/replay",
        ),
    ),
    pass_on="unknown",
    options_metavar="[OPTIONS] [OPTIONS OF LMMS-EVAL]",
)


@command
def evaluate(
    context: typer.Context,
    tasks: Annotated[
        str,
        typer.Option(
            "--tasks",
            metavar="NAMES",
            help="Tasks to run, separated by commas. A name is GROUP[_STYLE][_DIMENSION]: GROUP is shotbench, "
            "shotbench_blind, shotbench_circular, shotbench_mirrored, shotbench_reversed or refineshot (variants, see "
            "`shotbench score --help`); STYLE is reasoning or step_by_step, otherwise a direct answer is requested; "
            "DIMENSION is shot_size, shot_framing, camera_angle, lens_size, lighting_type, lighting_condition, "
            "composition or camera_movement, otherwise all. One GROUP and STYLE in a run",
            rich_help_panel=QUESTIONS,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Folder for the results: scores.json, samples.jsonl with the responses, and the files of lmms-eval",
            rich_help_panel="Output",
        ),
    ],
    model: ModelType = "",
    preset: Preset = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="QUESTIONS",
            help="Questions to ask: shard folder, Hub id of shards, or test.tsv, which has no media and suffices for "
            "blind tasks. A published release is first converted by `shotbench data import-shotbench`",
            show_default=f"${DATA_VARIABLE}, or {DEFAULT_DATASET} if it is not set",
            rich_help_panel=QUESTIONS,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="NAME",
            help="Split of the shards to ask",
            show_default=f"${SPLIT_VARIABLE}, or {DEFAULT_SPLIT} if it is not set",
            rich_help_panel=QUESTIONS,
        ),
    ] = None,
    refined: Annotated[
        Path | None,
        typer.Option(
            "--refined",
            metavar="FILE",
            help="Published test.tsv of RefineShot, for tasks whose name begins with refineshot",
            show_default="the refined questions are rebuilt from the original ones",
            rich_help_panel=QUESTIONS,
        ),
    ] = None,
    limit: Annotated[
        str | None,
        typer.Option(
            "--limit",
            metavar="N",
            help="Maximum number of questions per task, or a share below 1: 0.1 is 10 %",
            show_default="all",
            rich_help_panel=QUESTIONS,
        ),
    ] = None,
    offset: Annotated[
        str | None,
        typer.Option(
            "--offset",
            metavar="N",
            help="Number of questions to skip at the start of each task",
            show_default="0",
            rich_help_panel=QUESTIONS,
        ),
    ] = None,
    model_args: ModelArgs = "",
    force_simple: Annotated[
        bool,
        typer.Option(
            "--force_simple",
            help="Use the simple class of the model in lmms-eval instead of its chat class; the system text is then "
            "part of the question",
            rich_help_panel=MODEL,
        ),
    ] = False,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            metavar="K",
            min=1,
            help="Number of responses to sample for each question, with the seeds N, N + 1, … (--seed N, default: 0); "
            "scores are means over them, with majority vote and pass@k",
            show_default="1",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature",
            metavar="T",
            help="Temperature of sampling; 0 is greedy decoding",
            show_default="0, as in the paper; 0.6 with --samples",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    output_path: Annotated[
        Path | None,
        typer.Option(
            "--output_path",
            metavar="FOLDER",
            help="Folder for the files written by lmms-eval itself",
            show_default="OUT/lmms_eval",
            rich_help_panel=HARNESS,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="YAML file with further options of lmms-eval; it may not set the options listed here",
            show_default="no further options",
            rich_help_panel=HARNESS,
        ),
    ] = None,
    use_cache: Annotated[
        Path | None,
        typer.Option(
            "--use_cache",
            metavar="FOLDER",
            help="Folder in which responses are stored as they come, and from which this and other runs with the same "
            "model, prompt, medium and settings take them. lmms-eval's own cache is not used, as it ignores the medium",
            show_default="OUT/responses",
            rich_help_panel=HARNESS,
        ),
    ] = None,
    reasoning_tags: ReasoningTags = "",
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    currency: Currency = None,
    log_samples: Annotated[bool, typer.Option("--log_samples", help="Always on", hidden=True)] = False,
) -> int:
    """Ask a model the questions through lmms-eval, and score its responses by both protocols.

    Every option that is not listed here is passed on to lmms-eval unchanged (see lmms-eval --help), such as
    --batch_size, --gen_kwargs or --seed.

    The model type replay returns stored responses, from --model_args responses=FILE.
    """
    from lmms_eval_shotbench.environment import dataset_in_use, split_in_use
    from lmms_eval_shotbench.grading.added_tags import parse_reasoning_tags
    from lmms_eval_shotbench.harness.apply_preset import apply_preset
    from lmms_eval_shotbench.harness.backends import BackendUnavailable
    from lmms_eval_shotbench.harness.eval_plan import EvalRequest, check_config
    from lmms_eval_shotbench.harness.evaluate import evaluation_table, run_evaluation
    from lmms_eval_shotbench.harness.lmms_eval import is_main_process
    from lmms_eval_shotbench.harness.presets import read_preset
    from lmms_eval_shotbench.harness.sampling import first_seed, sampling_temperature

    if not (model or preset):
        context.fail("missing option --model, or --preset with the name of a known model")
    known = read_preset(preset) if preset else None
    checked = ["--config", str(check_config(config, with_preset=bool(known)))] if config else []
    # Only questions that these options select need a response.
    subset = [part for flag, value in (("--limit", limit), ("--offset", offset)) if value for part in (flag, value)]
    tags = ["--reasoning_tags", reasoning_tags] if reasoning_tags else []  # for tasks of others that run along
    temperature = sampling_temperature(samples or 1, temperature, context.args, config, model)
    invocation = context.find_object(Invocation) or Invocation()
    request = EvalRequest(
        tasks=tasks,
        data=dataset_in_use(data),
        split=split_in_use(split),
        out=out,
        refined=refined,
        model=model,
        model_args=model_args,
        harness_out=output_path or out / "lmms_eval",
        force_simple=force_simple,
        reasoning_tags=parse_reasoning_tags(reasoning_tags),
        samples=samples or 1,
        temperature=temperature,
        seed=first_seed(context.args) if temperature is not None else 0,
        limited=bool(subset),
        responses=use_cache,
        prices=prices_of(price_in, price_out, currency),
        passed_on=[*context.args, *subset, *checked, *tags],
        command=["shotbench", *invocation.arguments],
    )
    if known:
        request = apply_preset(known, request)
        if known.note:
            print_message(f"preset {known.name}: {known.note}")
    try:
        evaluation = run_evaluation(request)
    except BackendUnavailable as error:
        if known and known.needs:
            raise BackendUnavailable(f"preset {known.name} needs more packages: {known.install_command}") from error
        raise
    for message in evaluation.warnings + evaluation.errors:
        print_message(message)
    if not is_main_process():
        return 1 if evaluation.errors else 0
    if evaluation.folder:
        print(f"\n{evaluation_table(evaluation)}\nwritten to {evaluation.folder}")
    return 0 if evaluation.complete else 1
