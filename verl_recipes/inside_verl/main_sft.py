"""SFT on Ray by verl's own trainer: `python -m verl_recipes.inside_verl.main_sft --config-dir … --config-name sft_3b`.

verl 0.9 has an SFT trainer with Ray workers, `verl.trainer.sft_trainer_ray`. Its entry point ignores
`ray_kwargs.ray_init`, which the PPO entry point uses; this one passes it to `ray.init`. It also changes the trainer in
six ways: the number of data loader workers is configurable (verl: 8), so is the seed that shuffles the rows (verl:
0), a run that resumes from the end of an epoch no longer skips the next epoch, the limit on checkpoints also counts
those of earlier starts (`checkpoint_rotation.py`), it stops when requested (`stop_request.py`), and a run that diverges
ends (`divergence.py`).
"""

from __future__ import annotations

import functools
from contextlib import suppress
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from verl_recipes.inside_verl.checkpoint_rotation import rotated
from verl_recipes.inside_verl.divergence import NonFiniteSteps
from verl_recipes.inside_verl.stop_request import Stopped, stop_sft_when_requested


def run_sft(config: DictConfig) -> None:
    """Start or join Ray as `ray_kwargs.ray_init` specifies, and train."""
    import ray
    from verl.trainer import sft_trainer_ray
    from verl.utils.device import auto_set_device

    auto_set_device(config)
    ray.init(**OmegaConf.to_container(config.ray_kwargs.ray_init, resolve=True))
    configure_loaders(sft_trainer_ray, workers=config.data.num_workers, seed=config.trainer.seed)
    stop_if_diverged(sft_trainer_ray, limit=config.trainer.get("max_nonfinite_steps"))
    trainer = sft_trainer_ray.SFTTrainer(config=config)
    begin_next_epoch(trainer)
    rotate_checkpoints(trainer.ckpt_handler)
    stop_sft_when_requested(trainer)
    with suppress(Stopped):
        trainer.fit()


def configure_loaders(trainer_module: Any, *, workers: int, seed: int) -> None:
    """Patch the trainer's module: data loaders use `workers` processes, and samplers shuffle by `seed`."""
    loader, sampler = trainer_module.StatefulDataLoader, trainer_module.DistributedSampler

    def with_workers(*args: Any, **kwargs: Any) -> Any:
        return loader(*args, **kwargs | {"num_workers": workers})

    trainer_module.StatefulDataLoader = with_workers
    trainer_module.DistributedSampler = functools.partial(sampler, seed=seed)


def stop_if_diverged(trainer_module: Any, *, limit: int | None) -> None:
    """Patch the trainer's module: its logger counts steps without a finite gradient norm, and raises beyond `limit`.

    verl's loop offers no other place between an update and its checkpoint.
    """
    steps = NonFiniteSteps(limit)

    class CountingTracking(trainer_module.Tracking):  # type: ignore[misc]  # verl has no types
        def log(self, data: dict[str, Any], step: int, backend: Any = None) -> None:
            if "train/grad_norm" not in data:  # metrics of a validation
                super().log(data, step, backend)
                return
            super().log(data | steps.count(step, data["train/grad_norm"]), step, backend)
            steps.check(step)

    trainer_module.Tracking = CountingTracking


def begin_next_epoch(trainer: Any) -> None:
    """Discard the restored state of the data loader if the checkpoint was saved at the end of an epoch.

    verl restores an exhausted data loader and continues with the next epoch, which would then have no rows.
    """
    loader = trainer.train_dataloader
    if trainer.resume_global_step and trainer.resume_global_step % len(loader) == 0:
        loader.next_iter_state = None


def rotate_checkpoints(handler: Any) -> None:
    """Replace verl's rotation of checkpoints by ours."""
    folder, limit, save = Path(handler.default_local_dir), handler.max_ckpt_to_keep, handler.save_checkpoint
    handler.max_ckpt_to_keep = None

    def save_and_rotate(step: int) -> None:
        with rotated(folder, limit):
            save(step)

    handler.save_checkpoint = save_and_rotate


@hydra.main(config_path=None, config_name=None, version_base=None)  # type: ignore[untyped-decorator]
def main(config: DictConfig) -> None:
    """Hydra's entry point."""
    run_sft(config)


if __name__ == "__main__":
    main()
