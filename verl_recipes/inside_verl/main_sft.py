"""SFT on Ray by verl's own trainer: `python -m verl_recipes.inside_verl.main_sft --config-dir … --config-name sft_3b`.

verl 0.9 has an SFT trainer over Ray workers, `verl.trainer.sft_trainer_ray`, whose entry point starts Ray without the
settings that the PPO entry point takes. This one takes them from `ray_kwargs.ray_init` and fixes three settings of the
trainer: the number of data loader workers (hard-coded to eight), the seed of the order of rows (hard-coded to 0), and
the state of the data loader when a run resumes at the end of an epoch.
"""

from __future__ import annotations

import functools
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf


def run_sft(config: DictConfig) -> None:
    """Start or join Ray as configured, and train."""
    import ray
    from verl.trainer import sft_trainer_ray
    from verl.utils.device import auto_set_device

    auto_set_device(config)
    ray.init(**OmegaConf.to_container(config.ray_kwargs.ray_init, resolve=True))
    configure_loaders(sft_trainer_ray, workers=config.data.num_workers, seed=config.trainer.seed)
    trainer = sft_trainer_ray.SFTTrainer(config=config)
    begin_next_epoch(trainer)
    trainer.fit()


def configure_loaders(trainer_module: Any, *, workers: int, seed: int) -> None:
    """Patch the data loader and sampler of the trainer's module to use these settings."""
    loader, sampler = trainer_module.StatefulDataLoader, trainer_module.DistributedSampler

    def with_workers(*args: Any, **kwargs: Any) -> Any:
        return loader(*args, **kwargs | {"num_workers": workers})

    trainer_module.StatefulDataLoader = with_workers
    trainer_module.DistributedSampler = functools.partial(sampler, seed=seed)


def begin_next_epoch(trainer: Any) -> None:
    """Reset the state of the data loader if the checkpoint was saved at the end of an epoch.

    The restored loader is then exhausted, while the trainer continues with the next epoch, which would have no rows: an
    entire epoch would be skipped.
    """
    loader = trainer.train_dataloader
    if trainer.resume_global_step and trainer.resume_global_step % len(loader) == 0:
        loader.next_iter_state = None


@hydra.main(config_path=None, config_name=None, version_base=None)  # type: ignore[untyped-decorator]
def main(config: DictConfig) -> None:
    """Hydra's entry point."""
    run_sft(config)


if __name__ == "__main__":
    main()
