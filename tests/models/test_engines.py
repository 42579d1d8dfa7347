"""Which engine `shotvl` uses, and what it says if that cannot be used; of vLLM, see `test_vllm_engine.py`."""

from __future__ import annotations

import sys
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy
import pytest

pytest.importorskip("torch")
import torch

from lmms_eval_shotbench.models.engine import EngineFailed, EngineUnavailable
from lmms_eval_shotbench.models.engines import EngineSettings, open_engine
from lmms_eval_shotbench.models.planning import Planner
from lmms_eval_shotbench.models.shotvl_settings import BadModelArgs, load_shotvl, media_limits
from lmms_eval_shotbench.models.transformers_engine import TransformersEngine
from lmms_eval_shotbench.models.vllm_inputs import vllm_seconds_per_grid
from lmms_eval_shotbench.models.vllm_start import rank_environment
from lmms_eval_shotbench.qwen.input_rules import InputRules
from lmms_eval_shotbench.qwen.rope_positions import Grid, PositionRule, time_positions


def planner(rules: InputRules) -> Planner:
    return Planner(rules, media_limits(rules, 12.0, 8_000, None, None), workers=1)


def opened(name: str, pretrained: Path, batch_tokens: int | None = None, **further: Any) -> Any:
    settings = EngineSettings(
        str(pretrained), None, torch.device("cpu"), "auto", {"batch_tokens": batch_tokens}, further
    )
    return open_engine(name, settings, planner)[0]


@pytest.fixture
def without_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)


def test_without_a_gpu_it_is_transformers_unless_another_is_asked_for(tiny_model: Path) -> None:
    assert isinstance(opened("auto", tiny_model), TransformersEngine)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("vlm", {}, "engine=vlm: choose one of auto, transformers, vllm"),
        ("auto", {"tensor_parallel_size": 2}, "no argument tensor_parallel_size; arguments of vLLM need engine=vllm"),
        ("transformers", {"fsp": 2}, "no argument fsp"),
        ("vllm", {"batch_tokens": 9}, "batch_tokens: only with engine=transformers"),
    ],
)
def test_an_engine_or_argument_that_does_not_exist_is_named(
    tiny_model: Path, name: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(EngineUnavailable, match=message):
        opened(name, tiny_model, **arguments)


@pytest.mark.usefixtures("without_vllm")
def test_a_missing_vllm_is_named_with_what_to_do(tiny_model: Path) -> None:
    with pytest.raises(EngineUnavailable, match="not installed: pip install vllm; or use engine=transformers"):
        opened("vllm", tiny_model)


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ("raise OSError('libcudart.so.13: cannot open shared object file')", "libcudart.so.13: cannot open"),
        ("import a_library_of_vllm_that_is_absent", "No module named 'a_library_of_vllm_that_is_absent'"),
        ("", "cannot import name 'EngineArgs'"),
    ],
)
def test_a_broken_vllm_is_named_with_its_error(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contents: str, reason: str
) -> None:
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text(contents)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(EngineUnavailable, match=f"vLLM cannot be imported: {reason}.*use engine=transformers"):
        opened("vllm", tiny_model)
    sys.modules.pop("vllm", None)


RANK_2_OF_4 = {
    "RANK": "2",
    "LOCAL_RANK": "2",
    "WORLD_SIZE": "4",
    "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
    "CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7",
    "HF_HOME": "/models",
}


@pytest.mark.parametrize(("gpus", "visible"), [(1, "2"), (2, "4,5")])
def test_each_rank_starts_an_engine_on_its_own_gpus_that_waits_for_no_other(gpus: int, visible: str) -> None:
    found = rank_environment(RANK_2_OF_4, torch.device("cuda", 2), gpus)
    assert found == {"HF_HOME": "/models", "CUDA_VISIBLE_DEVICES": visible, "VLLM_ENABLE_V1_MULTIPROCESSING": "1"}


def test_more_ranks_than_gpus_are_refused() -> None:
    with pytest.raises(EngineFailed, match="4 ranks with tensor_parallel_size=4 need 16 GPUs, not 8"):
        rank_environment(RANK_2_OF_4, torch.device("cuda", 2), 4)


def test_probabilities_of_terms_need_transformers(tiny_model: Path) -> None:
    with pytest.raises(BadModelArgs, match="only engine=transformers gives the probabilities"):
        load_shotvl(f"pretrained={tiny_model},engine=vllm", attn_implementation="sdpa")


RATES = [Fraction(1), Fraction(2), Fraction(8), Fraction(12), Fraction(24000, 1001), Fraction(24), Fraction(30)]


@pytest.mark.slow
@pytest.mark.parametrize("tokens_per_second", [2, 4, 25])
def test_the_seconds_between_patches_give_vllm_the_exact_time_positions(tokens_per_second: int) -> None:
    """vLLM truncates a product of floats, for which exact seconds, as a float, are too small for some lengths."""
    rule, too_small = PositionRule(frozenset(), 2, tokens_per_second, 2), 0
    for fps, patches in product(RATES, range(1, 385)):
        # The sampled rate of a clip, whose length need not be a whole number of sampled frames
        for rate in (fps, fps * (2 * patches) / (2 * patches + 1)):
            grid = Grid(patches, 2, 2, rate)
            wanted, exact = time_positions(grid, rule).numpy(), float(2 / rate)
            found, plain = (
                (numpy.arange(patches) * (seconds * tokens_per_second)).astype(numpy.int64)
                for seconds in (vllm_seconds_per_grid(grid, rule), exact)
            )
            assert (found == wanted).all()
            too_small += int((plain != wanted).any())
    assert too_small, "exact seconds would do"
