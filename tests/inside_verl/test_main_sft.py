"""The changes of our SFT entry point to verl's trainer, tested on the data loader that the trainer uses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torchdata")
from torch.utils.data import DistributedSampler
from torchdata.stateful_dataloader import StatefulDataLoader

from verl_recipes.inside_verl.main_sft import begin_next_epoch, configure_loaders

ROWS, BATCH, EPOCHS = list(range(10)), 3, 3


class Trainer:
    """The data loading of verl's trainer: a loader, restored from a state, epoch by epoch."""

    def __init__(self, step: int = 0, state: dict[str, Any] | None = None) -> None:
        self.sampler = DistributedSampler(ROWS, num_replicas=1, rank=0, shuffle=True, drop_last=True)
        self.train_dataloader = StatefulDataLoader(ROWS, batch_size=BATCH, sampler=self.sampler, drop_last=True)
        self.resume_global_step = step
        if state:
            self.train_dataloader.load_state_dict(state)

    def batches(self, stop: int | None = None) -> list[list[int]]:
        """Batches from the current step up to `stop`, where the loader's state is saved in the loop, as in verl."""
        batches: list[list[int]] = []
        for epoch in range(self.resume_global_step // len(self.train_dataloader), EPOCHS):
            self.sampler.set_epoch(epoch)
            for batch in self.train_dataloader:
                batches.append(batch.tolist())
                if len(batches) == stop:
                    self.state = self.train_dataloader.state_dict()
                    return batches
        return batches


@pytest.mark.parametrize("step", range(1, 9))
def test_a_resumed_run_yields_every_remaining_row_once(step: int) -> None:
    uninterrupted = Trainer().batches()
    assert len(uninterrupted) == 9
    stopped = Trainer()
    assert stopped.batches(step) == uninterrupted[:step]
    resumed = Trainer(step, stopped.state)
    begin_next_epoch(resumed)
    assert resumed.batches() == uninterrupted[step:]


def test_without_our_change_a_run_resumed_at_the_end_of_an_epoch_skips_the_next() -> None:
    stopped = Trainer()
    uninterrupted = Trainer().batches()
    stopped.batches(3)
    assert Trainer(3, stopped.state).batches() != uninterrupted[3:]  # once this fails, begin_next_epoch can be removed


def test_loaders_take_the_configured_workers_and_seed() -> None:
    module = SimpleNamespace(StatefulDataLoader=StatefulDataLoader, DistributedSampler=DistributedSampler)
    configure_loaders(module, workers=0, seed=7)
    sampler = module.DistributedSampler(ROWS, num_replicas=1, rank=0, shuffle=True)
    loader = module.StatefulDataLoader(ROWS, batch_size=2, sampler=sampler, num_workers=8)
    assert loader.num_workers == 0
    assert sampler.seed == 7
    assert loader.batch_size == 2
