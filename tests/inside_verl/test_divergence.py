"""Steps without a finite gradient norm are counted, and weights that are not finite are never kept."""

from __future__ import annotations

import logging
import math
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("hydra")

from verl_recipes.inside_verl.divergence import METRIC, NonFiniteSteps, TrainingDiverged, check_weights, guard_engine
from verl_recipes.inside_verl.main_sft import stop_if_diverged


def counted(limit: int | None, norms: list[float]) -> list[float]:
    """The metric of each step, up to the step that ends the run."""
    steps, found = NonFiniteSteps(limit), list[float]()
    for number, norm in enumerate(norms, 1):
        found.append(steps.count(number, norm)[METRIC])
        steps.check(number)
    return found


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_run_ends_only_after_more_consecutive_steps_than_the_limit(broken: float) -> None:
    assert counted(2, [1.0, broken, broken, 0.0, broken, broken, 3.0]) == [0, 1, 2, 2, 3, 4, 4]
    with pytest.raises(TrainingDiverged, match=r"in 3 consecutive steps, up to step 4 .*max_nonfinite_steps=2"):
        counted(2, [1.0, broken, broken, broken])
    with pytest.raises(TrainingDiverged, match="in 1 consecutive steps, up to step 1"):
        counted(0, [broken])
    assert counted(None, [broken] * 50)[-1] == 50


def test_each_such_step_is_printed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        counted(3, [1.0, math.inf, math.nan])
    assert [record.getMessage() for record in caplog.records] == [
        "step 2: the gradient norm is inf, the update was skipped (1 in a row)",
        "step 3: the gradient norm is nan, the update was skipped (2 in a row)",
    ]


def test_the_sft_logger_counts_steps_but_not_validations() -> None:
    logged = []

    class Tracking:
        def log(self, data: dict[str, Any], step: int, backend: Any = None) -> None:
            logged.append((step, data))

    module = SimpleNamespace(Tracking=Tracking)
    stop_if_diverged(module, limit=0)
    tracking = module.Tracking()
    tracking.log({"train/grad_norm": 1.0}, 1)
    tracking.log({"val/loss": math.nan}, step=1)
    with pytest.raises(TrainingDiverged):
        tracking.log(data={"train/grad_norm": math.nan}, step=2)
    assert [(step, data.get(METRIC)) for step, data in logged] == [(1, 0), (1, None), (2, 1)]


@pytest.mark.verl
def test_verls_engine_skips_an_update_and_refuses_broken_weights() -> None:
    pytest.importorskip("verl")
    from verl.workers.engine.fsdp import transformer_impl

    engine_class = type("Engine", (), {"optimizer_step": transformer_impl.FSDPEngine.optimizer_step})
    guard_engine(SimpleNamespace(FSDPEngine=engine_class))
    engine: Any = engine_class()
    engine.module = torch.nn.Linear(2, 2)
    engine.optimizer = torch.optim.AdamW(engine.module.parameters(), lr=1.0)
    engine.optimizer_config, engine._qat_enabled = SimpleNamespace(clip_grad=1.0), False

    def update(loss_factor: float) -> float:
        engine.module(torch.ones(1, 2)).sum().mul(loss_factor).backward()
        return float(engine.optimizer_step())

    before = [weight.detach().clone() for weight in engine.module.parameters()]
    assert math.isnan(update(math.nan))
    assert all(map(torch.equal, before, engine.module.parameters())), "the update was skipped"
    assert math.isfinite(update(1.0))
    assert not any(map(torch.equal, before, engine.module.parameters()))
    with torch.no_grad():
        engine.module.bias[1] = math.inf
    with pytest.raises(TrainingDiverged, match="weights are nan or infinite, such as bias; they are not saved"):
        update(1.0 * math.inf)


def _worker(rank: int, address: str, results: Any) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{address}", rank=rank, world_size=2)
    model = torch.nn.Linear(1, 1)
    if rank == 1:
        model.weight.data.fill_(math.nan)
    try:
        check_weights(model)
    except TrainingDiverged as error:
        results.put((rank, str(error)))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_all_workers_end_if_the_part_of_one_is_broken(tmp_path: Any) -> None:
    context = torch.multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=_worker, args=(rank, tmp_path / "store", results)) for rank in (0, 1)]
    for worker in workers:
        worker.start()
    messages = dict(results.get(timeout=100) for _ in workers)
    for worker in workers:
        worker.join()
    assert "such as weight" in messages[1]
    assert "weights are nan or infinite; they" in messages[0]
