"""What our SFT entry changes in verl's trainer, shown on the loader the trainer uses."""

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
    """The part of verl's trainer that gives out rows: a loader, resumed from a state, epoch by epoch."""

    def __init__(self, step: int = 0, state: dict[str, Any] | None = None) -> None:
        self.sampler = DistributedSampler(ROWS, num_replicas=1, rank=0, shuffle=True, drop_last=True)
        self.train_dataloader = StatefulDataLoader(ROWS, batch_size=BATCH, sampler=self.sampler, drop_last=True)
        self.resume_global_step = step
        if state:
            self.train_dataloader.load_state_dict(state)

    def given_out(self, stop: int | None = None) -> list[list[int]]:
        """Batches from here on, up to a step; verl saves within the loop, so do we."""
        given: list[list[int]] = []
        for epoch in range(self.resume_global_step // len(self.train_dataloader), EPOCHS):
            self.sampler.set_epoch(epoch)
            for batch in self.train_dataloader:
                given.append(batch.tolist())
                if len(given) == stop:
                    self.state = self.train_dataloader.state_dict()
                    return given
        return given


@pytest.mark.parametrize("step", range(1, 9))
def test_a_resumed_run_gives_out_every_row_that_is_left_once(step: int) -> None:
    whole = Trainer().given_out()
    assert len(whole) == 9
    stopped = Trainer()
    assert stopped.given_out(step) == whole[:step]
    resumed = Trainer(step, stopped.state)
    begin_next_epoch(resumed)
    assert resumed.given_out() == whole[step:]


def test_without_our_change_a_run_resumed_at_the_end_of_an_epoch_loses_the_next() -> None:
    stopped = Trainer()
    whole = Trainer().given_out()
    stopped.given_out(3)
    assert Trainer(3, stopped.state).given_out() != whole[3:]  # once this fails, begin_next_epoch can go


def test_loaders_take_the_configured_workers_and_seed() -> None:
    module = SimpleNamespace(StatefulDataLoader=StatefulDataLoader, DistributedSampler=DistributedSampler)
    configure_loaders(module, workers=0, seed=7)
    sampler = module.DistributedSampler(ROWS, num_replicas=1, rank=0, shuffle=True)
    loader = module.StatefulDataLoader(ROWS, batch_size=2, sampler=sampler, num_workers=8)
    assert loader.num_workers == 0
    assert sampler.seed == 7
    assert loader.batch_size == 2
