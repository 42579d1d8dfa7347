"""The plan, table and figures of the ablation, without training; runs are in test_training_runs.py."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import fmean

import pytest

from lmms_eval_shotbench.grading.grade import grade
from lmms_eval_shotbench.runs.score import score_responses
from lmms_eval_shotbench.runs.score_formats import FORMATS
from lmms_eval_shotbench.scoring.metrics import Z95, Graded, score
from lmms_eval_shotbench.vocabulary import DIMENSIONS
from tests.support.items import make_item
from verl_recipes.run.ablation import ROWS, AblationPlan, AblationRow, Trial, overrides_by_method
from verl_recipes.run.ablation_report import ablation_table, mean_over_seeds, write_ablation_report
from verl_recipes.run.run_folder import RunFolder

PLAN = AblationPlan(
    "tiny", "shards", Path("out"), "base", seeds=(1, 2), overrides={"grpo": ("trainer.total_epochs=2",)}
)


def scores(right: float) -> dict[str, object]:
    """Scores as `shotbench eval` writes them, for 40 questions per dimension of which the share `right` is correct."""
    items = [
        make_item(dimension=dimension.slug, index=100 * column + at, media=f"{column}-{at}.jpg")
        for column, dimension in enumerate(DIMENSIONS)
        for at in range(40)
    ]
    responses = ["C" if item.source_index % 100 < 40 * right else "A" for item in items]
    return json.loads(FORMATS["json"](score_responses(items, responses, "strict")))  # type: ignore[no-any-return]


def trial(row: AblationRow, seed: int | None, direct: float, reasoning: float, run: Path) -> Trial:
    return Trial(row, seed, run, {"shotbench": scores(direct), "shotbench_reasoning": scores(reasoning)})


def test_the_rows_are_the_papers_six() -> None:
    assert [row.name for row in ROWS] == ["baseline", "SFT", "CoT-SFT", "GRPO", "CoT-SFT then GRPO", "SFT then GRPO"]


def test_a_later_step_starts_from_the_run_before_it_and_shares_it_between_rows() -> None:
    sft, both = ROWS[1], ROWS[5]
    first, second = PLAN.order(sft, 2), PLAN.order(both, 2)
    assert (first.method, first.model, first.out) == ("sft", "base", Path("out/seed-2/sft"))
    assert (second.method, second.model, second.out) == ("grpo", "out/seed-2/sft", Path("out/seed-2/sft+grpo"))
    assert second.overrides == ("trainer.total_epochs=2", "data.seed=2")
    assert first.overrides == ("trainer.seed=2",)


def test_overrides_belong_to_a_method_and_others_are_refused() -> None:
    given = ["cot-sft:optim.lr=1", "grpo:a.b=2", "grpo:c=3"]
    assert overrides_by_method(given) == {"cot_sft": ("optim.lr=1",), "grpo": ("a.b=2", "c=3")}
    for wrong in ("optim.lr=1", "ppo:a=1", "sft:a"):
        with pytest.raises(ValueError, match="write METHOD:key=value"):
            overrides_by_method([wrong])


def test_the_interval_over_seeds_includes_both_errors() -> None:
    one = {"value": 0.5, "stderr": 0.05}
    assert mean_over_seeds([one]) == pytest.approx((0.5, 0.5 - Z95 * 0.05, 0.5 + Z95 * 0.05))
    same = mean_over_seeds([one, one, one])
    assert same == pytest.approx(mean_over_seeds([one]))  # repeating the same questions adds no information
    spread = mean_over_seeds([{"value": value, "stderr": 0.0} for value in (0.4, 0.5, 0.6)])
    assert spread.high - spread.value == pytest.approx(4.303 * 0.1 / math.sqrt(3), rel=1e-3)  # by hand


def test_a_row_is_reported_in_the_style_with_the_higher_score(tmp_path: Path) -> None:
    table = ablation_table([trial(ROWS[0], None, 0.5, 0.25, tmp_path), trial(ROWS[2], 1, 0.25, 0.75, tmp_path)])
    assert [entry["better"] for entry in table] == ["shotbench", "shotbench_reasoning"]
    assert table[1]["macro"]["shotbench_reasoning"]["value"] == pytest.approx(0.75)
    assert table[1]["by_dimension"]["lens_size"]["value"] == pytest.approx(0.75)


@pytest.mark.slow
def test_table_and_curves_are_written(tmp_path: Path) -> None:
    trials = [trial(ROWS[0], None, 0.25, 0.25, tmp_path / "baseline")]
    for seed in (1, 2, 3):
        run = tmp_path / f"seed-{seed}"
        metrics = RunFolder(run).metrics(1)
        metrics.parent.mkdir(parents=True)
        rows = [
            {"step": step, "data": {"critic/score/mean": step / 10, "val-core/studio/shot_size/acc/mean@1": step / 20}}
            for step in range(5)
        ]
        metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
        trials.append(trial(ROWS[3], seed, 0.3, 0.5 + seed / 20, run))
    path = write_ablation_report(trials, tmp_path / "out")
    lines = path.read_text().splitlines()
    assert lines[0].count("|") == len(DIMENSIONS) + 5
    assert lines[2].startswith("| baseline | 25.0 |")
    assert "**60.0** (" in lines[3]
    assert json.loads((tmp_path / "out" / "ablation.json").read_text())[1]["seeds"] == [1, 2, 3]
    for name in ("curves.png", "dimensions.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")


def test_the_interval_of_one_trial_is_that_of_the_benchmark() -> None:
    items = [make_item(index=at, media=f"{at}.jpg") for at in range(50)]
    estimate = score([Graded(item, grade(item, "C" if item.source_index % 2 else "A")) for item in items]).macro
    mean = mean_over_seeds([{"value": estimate.value, "stderr": estimate.stderr}])
    assert fmean((mean.low, mean.high)) == pytest.approx(estimate.value)
    assert mean.high == pytest.approx(estimate.high, abs=0.01)  # Wilson's, at the same error
