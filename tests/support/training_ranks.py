"""Losses and gradients of verl's FSDP2 engine on several workers without Ray.

One process imports verl, with the plugin; for each plan it forks the workers, which train and evaluate on the rows that
the plan gives each of them. A plan of one worker has the rows of all.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from tests.support.ports import free_port
from verl_recipes.run.preloaded_process import run_preloaded

ENVIRONMENT = {
    "VERL_USE_EXTERNAL_MODULES": "verl_recipes.plugin", "VERL_PLATFORM": "cpu", "VERL_ENGINE_DEVICE": "cuda",
    "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
}  # fmt: skip
STILL, CLIP, TEXT = "still", "clip", "text"
MICRO_BATCH = 2  # rows
SECONDS = 300  # until a collective fails that not all ranks have joined
PRELOADED = (
    "peft", "torch._dynamo", "verl.workers.engine_workers",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl", "transformers.models.qwen3_vl.modeling_qwen3_vl",
    "transformers.models.qwen3_5.modeling_qwen3_5",
    "verl.models.transformers.qwen2_vl", "verl.models.transformers.qwen3_vl", "verl.models.transformers.qwen3_5",
)  # fmt: skip
GRIDS = {STILL: ((1, 4, 6), (1, 8, 4), (1, 4, 4)), CLIP: ((2, 4, 4), (3, 4, 8), (4, 6, 4))}


class Plan(NamedTuple):
    """Kinds of the rows of each rank, with overrides of the recipe."""

    rows: tuple[tuple[str, ...], ...]  # by rank
    overrides: tuple[str, ...] = ()

    def on_one_worker(self) -> Plan:
        """The same micro-batches on one worker."""
        return self._replace(rows=(tuple(kind for rank in self.rows for kind in rank),))


class Outcome(NamedTuple):
    """What the workers of a plan computed together."""

    losses: tuple[float, float]  # of training; of validation, with the weights after the step
    gradients: dict[str, list[float]]  # by parameter, its gradient as a flat list
    log_probs: list[float]  # of the reference model, on all rows


def outcomes(model: Path, plans: Mapping[str, Plan], folder: Path) -> dict[str, Outcome]:
    """Run all plans in another process; raise `RuntimeError` with its output if a worker fails.

    Args:
        model: Folder of a checkpoint.
        plans: Plans by name.
        folder: Folder for the outcomes.
    """
    named = {name: plan._asdict() for name, plan in plans.items()}
    status, output = run_preloaded(_run, [str(model), json.dumps(named), str(folder)], os.environ | ENVIRONMENT)
    if status:
        raise RuntimeError(output)
    return {name: Outcome(**json.loads((folder / f"{name}.json").read_text())) for name in plans}


def _run(arguments: list[str]) -> None:
    """Run each plan; exit as soon as a worker of one failed."""
    model, plans, folder = arguments
    for module in PRELOADED:  # once, before the workers are forked
        importlib.import_module(module)

    for name, values in json.loads(plans).items():
        plan = Plan(**values)
        settings, port, size, workers = _settings(model, plan.overrides), str(free_port()), len(plan.rows), []
        for rank in range(size):
            if not (process := os.fork()):
                os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1"}
                os.environ |= {"MASTER_PORT": port, "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
                _exit_after(partial(_work, settings, plan, Path(folder) / f"{name}.json"))
            workers.append(process)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in workers]
        if any(statuses):
            sys.exit(f"workers of {name!r} ended with {statuses}")


def _exit_after(task: Callable[[], None]) -> NoReturn:
    """Run `task` in a forked worker, and end it without returning to the parent's frames."""
    status = 1
    try:
        task()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _work(settings: Mapping[str, Any], plan: Plan, out: Path) -> None:
    import torch
    import torch.distributed as dist
    from verl.utils.distributed import initialize_global_process_group_ray
    from verl.workers.utils.losses import sft_loss

    initialize_global_process_group_ray(timeout_second=SECONDS)
    torch.manual_seed(3)
    rank = dist.get_rank()
    engine = _engine(settings, forward_only=False)
    first = sum(map(len, plan.rows[:rank]))  # number of this rank's first row
    rows = [training_row(engine.model_config.hf_config, kind, first + n) for n, kind in enumerate(plan.rows[rank])]
    reference = _engine(settings, forward_only=True).infer_batch(_batch(rows))
    loss_function = partial(sft_loss, config=None)
    with engine.train_mode():  # it discards the gradients when it ends
        training = engine.train_batch(_batch(rows), loss_function)
        parameters = ((name, one.grad) for name, one in engine.module.named_parameters() if one.grad is not None)
        gradients = {name: gradient.full_tensor().flatten().tolist() for name, gradient in parameters}
    with engine.eval_mode():
        validation = engine.infer_batch(_batch(rows), loss_function)
    losses = torch.tensor([sum(training["loss"]), sum(validation["loss"])])
    dist.all_reduce(losses)
    log_probs: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(log_probs, reference["model_output"]["log_probs"].values().tolist())
    if rank == 0:
        outcome = Outcome((losses / dist.get_world_size()).tolist(), gradients, list(chain.from_iterable(log_probs)))
        out.write_text(json.dumps(outcome._asdict()))
    dist.barrier()


def _settings(model: str, overrides: Sequence[str]) -> dict[str, Any]:
    """verl's settings of an engine, as in the tiny SFT recipe."""
    from verl.utils.config import omega_conf_to_dataclass
    from verl.utils.model import get_hf_auto_model_class

    from verl_recipes import recipes

    own = [f"model.path={model}", "optim.clip_grad=1e9", "optim.total_training_steps=1", "optim.lr_warmup_steps=0"]
    config = recipes.compose("sft", "tiny", [*own, *overrides])
    sections = {"model": "model", "engine": "engine", "optimizer": "optim", "checkpoint": "checkpoint"}
    settings = {f"{name}_config": omega_conf_to_dataclass(config[key]) for name, key in sections.items()}
    settings["engine_config"].use_remove_padding = False
    get_hf_auto_model_class(settings["model_config"].hf_config)  # imports the configurations of all models, and timm
    return settings


def _engine(settings: Mapping[str, Any], *, forward_only: bool) -> Any:
    from verl.workers.engine import EngineRegistry

    settings["engine_config"].forward_only = forward_only
    engine = EngineRegistry.new(model_type="language_model", backend="fsdp2", **settings)
    engine.initialize()
    return engine


def training_row(config: Any, kind: str, number: int) -> dict[str, Any]:
    """A row with a medium of this kind, or with text only; other content for each number."""
    import torch

    numbers, vision = torch.Generator().manual_seed(number), config.vision_config
    inputs: dict[str, Any] = {}
    ids = list(_text(number, 6))
    if kind != TEXT:
        grid = GRIDS[kind][number % 3]
        values = 3 * vision.temporal_patch_size * vision.patch_size**2
        patches = torch.rand((grid[0] * grid[1] * grid[2], values), generator=numbers) - 0.5
        tokens = len(patches) // vision.spatial_merge_size**2
        placeholder = config.image_token_id if kind == STILL else config.video_token_id
        ids += [config.vision_start_token_id, *[placeholder] * tokens, config.vision_end_token_id]
        names = ("pixel_values", "image_grid_thw") if kind == STILL else ("pixel_values_videos", "video_grid_thw")
        inputs = dict(zip(names, (patches, torch.tensor([grid])), strict=True))
    prompt, ids = len(ids), ids + list(_text(number + 1000, 4 + number % 3))
    return {
        "input_ids": torch.tensor(ids),
        "position_ids": torch.arange(len(ids)).expand(4, -1).contiguous(),
        "loss_mask": (torch.arange(len(ids)) >= prompt).long(),
        "multi_modal_inputs": inputs,
    }


def _text(seed: int, length: int) -> Iterator[int]:
    numbers = random.Random(seed)
    return (numbers.randrange(20, 200) for _ in range(length))  # ids of ordinary tokens


def _batch(rows: Sequence[dict[str, Any]]) -> Any:
    from verl.utils import tensordict_utils
    from verl.utils.dataset.dataset_utils import DatasetPadMode, SFTTensorCollator

    settings = {
        "use_remove_padding": False, "use_dynamic_bsz": False, "micro_batch_size_per_gpu": MICRO_BATCH,
        "temperature": 1.0, "pad_mode": DatasetPadMode.NO_PADDING, "pad_token_id": 0,
    }  # fmt: skip
    data = SFTTensorCollator(DatasetPadMode.NO_PADDING)(list(rows))
    return tensordict_utils.get_tensordict(data, settings)
