"""The recipes compose on the installed verl, verl accepts them, and their values match the documentation."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hydra")
if find_spec("verl") is None:
    pytest.skip("verl is not installed", allow_module_level=True)

from hydra import compose as compose_by_hydra
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from verl_recipes import recipes

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "training_recipes.md"
RECIPES = [(method, name) for method in recipes.METHODS for name in recipes.recipe_names(method)]
FILES = sorted(recipes.CONFIG_FOLDER.rglob("*.yaml"))
# Keys of our files that are neither in verl's files nor in its classes: used by Ray, transformers, or our code.
OURS = re.compile(
    r"ray_kwargs\.ray_init\.|.*\.?model\.override_config\.|.*reward_kwargs\.?|.*mixed_precision\.|.*\.agent_loop_manager_class$"
    r"|trainer\.(max_nonfinite_steps|rollout_timeout_s|completions(\.\w+)?)$|data\.decoded_media_cache_mb$"
)
SECTIONS = ["defaults", "hydra", "data", "actor_rollout_ref", "model", "engine", "optim", "checkpoint", "algorithm"]
SECTIONS += ["reward", "transfer_queue", "trainer", "ray_kwargs"]

pytestmark = pytest.mark.verl


@cache
def composed(method: str, recipe: str, *overrides: str) -> DictConfig:
    return recipes.compose(method, recipe, overrides)


@cache
def verls_own(name: str) -> DictConfig:
    folder = Path(str(find_spec("verl").origin)).parent / "trainer" / "config"  # type: ignore[union-attr]
    with initialize_config_dir(str(folder), version_base=None):
        return compose_by_hydra(name)


def base_of(method: str) -> str:
    return "ppo_trainer" if method == "grpo" else "sft_trainer_engine"


def test_each_method_has_the_recipes_of_the_paper_one_for_one_gpu_and_one_for_a_laptop() -> None:
    assert {method: recipes.recipe_names(method) for method in recipes.METHODS} == dict.fromkeys(
        ("sft", "cot_sft", "grpo"), ("3b", "3b_lora", "7b", "qwen3vl_4b", "qwen3vl_8b", "tiny", "tiny_lora")
    )


@pytest.mark.parametrize(("method", "recipe"), RECIPES)
def test_a_recipe_sets_only_keys_that_verl_knows(method: str, recipe: str) -> None:
    known = set(recipes._keys(verls_own(base_of(method))))
    new = [key for key in recipes._keys(composed(method, recipe)) if key not in known]

    assert [key for key in new if not OURS.match(key) and not _in_verls_classes(key)] == []


def _in_verls_classes(key: str) -> bool:
    """Whether a key is in verl's dataclasses but not in its files."""
    from verl.workers.config import FSDPEngineConfig

    parents = ("engine", "actor_rollout_ref.actor.fsdp_config", "actor_rollout_ref.ref.fsdp_config")
    tops = ("ray_kwargs", "ray_kwargs.ray_init", "ray_kwargs.ray_init.runtime_env")  # SFT's file has none
    engine = [f"{parent}.{name}" for parent in parents for name in FSDPEngineConfig.__dataclass_fields__]
    return key in (*engine, *tops)


@pytest.mark.parametrize(("method", "recipe"), RECIPES)
def test_verl_accepts_a_recipe(method: str, recipe: str) -> None:
    from verl.utils.config import omega_conf_to_dataclass, validate_config

    # verl imports vLLM for the LoRA ranks it supports; with SGLang it does not
    engine = ["actor_rollout_ref.rollout.name=sglang"] if method == "grpo" and recipe.endswith("lora") else []
    config = composed(method, recipe, *engine)
    parts = [config.engine, config.optim, config.checkpoint] if method != "grpo" else [config.algorithm]
    if method == "grpo":
        validate_config(config, use_reference_policy=True, use_critic=False)
        parts += [
            config.actor_rollout_ref.actor,
            config.actor_rollout_ref.rollout,
            config.actor_rollout_ref.ref.fsdp_config,
        ]
    for part in parts:
        omega_conf_to_dataclass(part)


@pytest.mark.parametrize(("method", "recipe"), RECIPES)
def test_the_longest_row_fits_a_micro_batch_and_the_batch_divides_by_the_gpus(method: str, recipe: str) -> None:
    config = composed(method, recipe)
    cards = config.trainer.n_gpus_per_node * config.trainer.nnodes
    if method != "grpo":
        assert config.data.train_batch_size % cards == 0
        assert not config.data.use_dynamic_bsz or config.data.max_length <= config.data.max_token_len_per_gpu
        return
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    longest = config.data.max_prompt_length + config.data.max_response_length
    assert config.data.train_batch_size * rollout.n % cards == 0
    assert longest <= actor.ppo_max_token_len_per_gpu
    assert rollout.max_model_len is None or longest <= rollout.max_model_len


def changed(method: str, recipe: str, key: str, new: object) -> DictConfig:
    """A copy of the composed recipe with another value."""
    config = copy.deepcopy(composed(method, recipe))
    OmegaConf.update(config, key, new)
    return config


@pytest.mark.parametrize(("method", "recipe"), RECIPES)
def test_only_the_path_of_a_recipe_names_a_model(method: str, recipe: str) -> None:
    path = "actor_rollout_ref.model.path" if method == "grpo" else "model.path"
    config = changed(method, recipe, path, "Qwen/Qwen3-VL-4B-Instruct")

    assert "Qwen2" not in OmegaConf.to_yaml(config, resolve=True)
    assert config.data.get("image_patch_size") is None  # the checkpoint's own


@pytest.mark.parametrize("recipe", recipes.recipe_names("sft"))
def test_sft_and_cot_sft_have_the_same_values(recipe: str) -> None:
    letters = changed("sft", recipe, "trainer.experiment_name", f"cot_sft_{recipe}")
    if recipe.startswith("tiny"):  # the one model that this learning rate would break in SFT
        letters.optim.lr *= 10

    assert composed("cot_sft", recipe) == letters


@pytest.mark.parametrize(("method", "recipe"), RECIPES)
def test_all_seeds_follow_one_key(method: str, recipe: str) -> None:
    if method != "grpo":
        assert changed(method, recipe, "trainer.seed", 7).engine.seed == 7
        return
    roles = changed(method, recipe, "data.seed", 7).actor_rollout_ref
    seeds = {roles.rollout.seed, roles.actor.data_loader_seed}
    assert seeds | {roles[role].fsdp_config.seed for role in ("actor", "ref")} == {7}


def documented_rows() -> Iterator[tuple[str, list[str]]]:
    """Method and cells of each row of the documentation that names a key."""
    section = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        section = line.removeprefix("## ") if line.startswith("## ") else section
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if section in ("SFT and CoT-SFT", "GRPO") and len(cells) >= 5 and cells[4] in ("paper", "deviation", "guess"):
            yield "grpo" if section == "GRPO" else "sft", cells


def value(cell: str) -> Any:
    return OmegaConf.create(f"value: {cell.strip('`')}").value


def test_the_documentation_has_all_values_of_the_paper() -> None:
    sources = [cells[4] for _, cells in documented_rows()]

    assert (sources.count("paper"), sources.count("deviation")) == (20, 3)


@pytest.mark.parametrize(
    ("method", "cells"), list(documented_rows()), ids=lambda part: part if isinstance(part, str) else part[0]
)
def test_the_documentation_and_the_3b_recipe_agree(method: str, cells: list[str]) -> None:
    _, key, paper, ours, source, *_ = cells
    config = composed(method, "3b")
    if key.endswith("repetition_penalty`"):  # verl's file leaves it out, its class has it
        from verl.workers.config import RolloutConfig

        found: Any = RolloutConfig.__dataclass_fields__["repetition_penalty"].default
    else:
        found = OmegaConf.select(config, key.strip("`"), throw_on_missing=True)

    assert found == value(ours)
    if source == "guess":
        assert paper == "–"
    else:
        assert (value(paper) == value(ours)) == (source == "paper")


def test_the_papers_reward_is_one_override() -> None:
    from verl_recipes.reward import reward_weights

    ours, papers = (
        reward_weights(**composed("grpo", "3b", f"answer_reward={name}").reward.custom_reward_function.reward_kwargs)
        for name in ("ours", "paper")
    )

    assert ours == reward_weights()
    assert (papers.format, papers.accuracy, papers.accuracy_needs_format) == (1.0, 1.0, False)


def test_an_unknown_method_or_recipe_raises_listing_the_known_ones() -> None:
    with pytest.raises(
        recipes.UnknownRecipe,
        match="'72b' is not a recipe of grpo; use one of 3b, 3b_lora, 7b, qwen3vl_4b, qwen3vl_8b, tiny, tiny_lora",
    ):
        recipes.config_name("grpo", "72b")
    with pytest.raises(recipes.UnknownRecipe, match="'ppo' is not a training method; use one of sft, cot_sft, grpo"):
        recipes.recipe_names("ppo")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr=1e-5", "no key 'optim.lr' .* did you mean actor_rollout_ref.actor.optim.lr"),
        ("actor_rollout_ref.rolout.n=8", "no key 'actor_rollout_ref.rolout.n' .* actor_rollout_ref.rollout.n"),
        ("data.seed = 3", "'data.seed = 3' is not an override"),
        ("answer_reward=papr", "Could not find 'answer_reward/papr'(.|\n)*ours\n\tpaper$"),
        ("~data.sead", "no key 'data.sead'"),
    ],
)
def test_a_wrong_override_raises_with_similar_keys(override: str, message: str) -> None:
    with pytest.raises(recipes.BadOverride, match=message):
        recipes.compose("grpo", "tiny", ["data.seed=1", override])


def test_what_one_caller_changes_no_other_caller_gets() -> None:
    first = recipes.compose("sft", "tiny")
    first.data.train_batch_size = 4711

    assert recipes.compose("sft", "tiny") != first
    assert recipes.compose("sft", "tiny") == recipes.compose("sft", "tiny", [])


def test_composing_leaves_hydra_as_the_caller_had_it(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("is: mine")
    with initialize_config_dir(str(tmp_path), version_base=None):
        recipes.compose("sft", "tiny", ["trainer.seed=4711"])  # which no other test composes
        with pytest.raises(recipes.BadOverride):
            recipes.compose("sft", "tiny", ["nonsense=1"])
        assert compose_by_hydra("mine") == {"is": "mine"}
    assert not GlobalHydra.instance().is_initialized()


@pytest.mark.parametrize(("method", "recipe"), RECIPES)
def test_every_process_gets_the_variables_that_load_the_plugin(method: str, recipe: str) -> None:
    variables = recipes.environment(composed(method, recipe))

    assert variables["VERL_USE_EXTERNAL_MODULES"] == "verl_recipes.plugin"
    assert (variables.get("VERL_PLATFORM") == "cpu") == (recipe.startswith("tiny"))
    assert all(isinstance(text, str) for text in OmegaConf.to_container(_variables(method, recipe)).values())  # type: ignore[union-attr]


def _variables(method: str, recipe: str) -> DictConfig:
    variables: DictConfig = composed(method, recipe).ray_kwargs.ray_init.runtime_env.env_vars
    return variables


def test_no_resources_are_declared_for_a_running_ray() -> None:
    joined = recipes.compose("grpo", "tiny", ["ray=cpu_joined"]).ray_kwargs.ray_init

    assert not {name for name in joined if joined[name] is not None} - {"runtime_env"}
    assert joined.runtime_env.env_vars == composed("grpo", "tiny").ray_kwargs.ray_init.runtime_env.env_vars


def test_another_verl_is_refused_with_the_install_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "verl-0.8.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: verl\nVersion: 0.8.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(
        recipes.WrongVerl, match=r"verl 0\.8\.0 is installed, .*0\.9\.1.*; uv pip install 'verl\[verl-core\]"
    ):
        recipes.compose("sft", "tiny", ())


def test_a_missing_verl_is_reported_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    import packaging.requirements  # noqa: F401  # cannot be imported once sys.path is empty

    monkeypatch.setattr(sys, "path", [])

    with pytest.raises(recipes.WrongVerl, match=r"verl is not installed; uv pip install"):
        recipes.check_verl()


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(recipes.CONFIG_FOLDER)))
def test_a_file_opens_with_its_purpose_and_keeps_the_order_of_sections(file: Path) -> None:
    content = file.read_text(encoding="utf-8")
    sections = [line.split(":")[0] for line in content.splitlines() if re.match(r"\w+:(\s|$)", line)]
    order = [SECTIONS.index(section) for section in sections if section in SECTIONS]

    assert content.startswith("# ")
    assert order == sorted(order)
    assert len(set(order)) == len(order)
    if file.parent == recipes.CONFIG_FOLDER:
        head = content.partition("defaults:")[0]
        recipe = file.stem.partition("grpo_" if "grpo" in file.stem else "sft_")[2]
        assert all(
            text in head for text in ("shotbench train", f"--config-name {file.stem}", "Override one", "Limits:")
        )
        assert f"--recipe {recipe} " in head


@pytest.mark.parametrize(
    "script",
    [
        "run_grpo.sh",
        "run_sft.sh",
        *(f"examples/{name}" for name in ("start_ray.sh", "submit_ray_job.sh", "slurm_train.sbatch")),
    ],
)
def test_a_script_is_valid_shell(script: str) -> None:
    path = ROOT / "verl_recipes" / script
    checkers = [["bash", "-n"], *([["shellcheck"]] if shutil.which("shellcheck") else [])]
    for checker in checkers:
        ended = subprocess.run([*checker, str(path)], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.timeout(600)  # verl is imported in a second process, possibly on a busy machine
def test_a_script_starts_verl_with_the_composed_recipe(tmp_path: Path) -> None:
    script = ROOT / "verl_recipes" / "run_grpo.sh"
    settings = {"SIZE": "tiny", "ROWS": "/rows", "MODEL": "/model", "OUT": "/run", "PYTHON": sys.executable}
    ended = subprocess.run(
        ["bash", str(script), "actor_rollout_ref.rollout.n=4", "--cfg", "job"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)} | settings,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    overrides = [
        "data.train_files=/rows/grpo.parquet",
        "data.val_files=/rows/dev.parquet",
        "actor_rollout_ref.model.path=/model",
        "trainer.default_local_dir=/run/checkpoints",
        "actor_rollout_ref.rollout.n=4",
    ]
    printed = ended.stdout[ended.stdout.index("model_engine:") :]

    assert OmegaConf.create(printed) == recipes.compose("grpo", "tiny", overrides)
