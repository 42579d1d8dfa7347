"""Tasks and passes of `shotbench eval`, and the arguments of a model's constructor."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.harness.backends import ClipSettings, constructor_arguments
from lmms_eval_shotbench.harness.eval_plan import (
    EvalRequest,
    EvaluationError,
    check_config,
    plan_passes,
    resolve_tasks,
)
from lmms_eval_shotbench.harness.lmms_eval import delay_import
from lmms_eval_shotbench.harness.task_files import group_name
from lmms_eval_shotbench.prompts import DIRECT, REASONING
from lmms_eval_shotbench.vocabulary import DIMENSIONS, slugs

ALL = set(slugs())


def names(tasks: str, present: set[str] = ALL) -> tuple[list[str], list[str]]:
    ours, others = resolve_tasks(tasks, present)
    return [task.name for task in ours], others


def test_a_group_expands_to_its_dimensions_with_questions() -> None:
    everything = [f"shotbench_{dimension.slug}" for dimension in DIMENSIONS]
    assert names("shotbench") == (everything, [])
    assert names("shotbench", {"lens_size", "camera_movement"})[0] == [
        "shotbench_lens_size",
        "shotbench_camera_movement",
    ]
    assert len(names("shotbench_reasoning")[0]) == 8


def test_single_tasks_wildcards_and_tasks_of_others_mix() -> None:
    assert names("shotbench_lens_size, mme,shotbench_shot_*") == (
        ["shotbench_lens_size", "shotbench_shot_size", "shotbench_shot_framing"],
        ["mme"],
    )


def test_a_dimension_without_questions_is_refused_when_it_is_asked_for_by_name() -> None:
    with pytest.raises(EvaluationError, match="shotbench_lens_size: the data have no such questions, only shot_size"):
        names("shotbench_lens_size", {"shot_size"})


def test_group_names_follow_the_style() -> None:
    assert (group_name(DIRECT), group_name(REASONING)) == ("shotbench", "shotbench_reasoning")


@pytest.fixture
def model_class(monkeypatch: pytest.MonkeyPatch) -> type:
    """The class behind every model name."""

    class AnyModel:
        def __init__(self, pretrained: str, fps: float | None = None, max_pixels: int = 1, extra: str = "") -> None: ...

    monkeypatch.setattr("lmms_eval_shotbench.harness.eval_plan.find_model_class", lambda *_: AnyModel)
    return AnyModel


def test_stills_only_make_one_pass_with_the_arguments_as_given(model_class: type) -> None:
    request = EvalRequest("shotbench_lens_size", "data", Path("out"), Path("out"), "any", "pretrained=x,fps=3")
    ours, others = resolve_tasks(request.tasks, ALL)
    (only,) = plan_passes(request, ours, others)
    assert (only.name, only.tasks, only.model_args) == ("stills", ["shotbench_lens_size"], "pretrained=x,fps=3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_args: pretrained=x\nlimit: 3\n", "sets limit, model_args; give them on the command line instead"),
        ("- seed: 1\n- seed: 2\n", "must contain one mapping"),
        ("seed: [1", "cannot be read"),
    ],
)
def test_a_config_file_must_be_valid_for_both_passes(text: str, message: str, tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EvaluationError, match=message):
        check_config(path)
    path.write_text("seed: 1\n", encoding="utf-8")
    assert check_config(path) == path


def test_constructor_arguments_include_those_passed_on_to_base_classes() -> None:
    class Base:
        def __init__(self, pretrained: str, max_pixels: int = 1) -> None: ...

    class Middle(Base):
        def __init__(self, fps: float | None = None, **rest: Any) -> None: ...

    class Closed(Middle):
        def __init__(self, other: int) -> None: ...

    class Silent(Middle): ...

    assert {"fps", "pretrained", "max_pixels"} <= constructor_arguments(Silent).keys()
    assert constructor_arguments(Silent)["max_pixels"] == 1
    assert constructor_arguments(Closed).keys() == {"self", "other"}


def test_a_delayed_module_is_imported_when_it_is_used_and_not_when_it_is_inspected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_module.py").write_text("LOADED = True\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    delay_import("slow_module")
    placeholder = sys.modules["slow_module"]
    assert hasattr(placeholder, "__file__") and not hasattr(placeholder, "__wrapped__")
    assert sys.modules["slow_module"] is placeholder
    assert placeholder.LOADED is True
    assert sys.modules["slow_module"] is not placeholder
    delay_import("no_such_module_anywhere")
    assert "no_such_module_anywhere" not in sys.modules


def test_model_arguments_with_commas_reach_the_clips_pass_unchanged(model_class: type) -> None:
    given = 'pretrained=x,extra=\'{"a":1,"b":2}\''
    request = EvalRequest("shotbench_camera_movement", "data", Path("out"), Path("out"), "any", given)
    (only,) = plan_passes(request, *resolve_tasks(request.tasks, ALL))
    assert only.model_args == f"{given},fps=12,max_pixels=230400"


def test_a_pass_reports_its_deviations_from_the_protocol(model_class: type, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ClipSettings({}, True, ["not the protocol"])
    monkeypatch.setattr("lmms_eval_shotbench.harness.eval_plan.clip_settings", lambda *_: settings)
    request = EvalRequest("shotbench", "data", Path("out"), Path("out"), "any", "pretrained=x")
    stills, clips = plan_passes(request, *resolve_tasks(request.tasks, ALL))
    assert (stills.resample_clips, stills.warnings) == (False, ())
    assert (clips.resample_clips, clips.warnings) == (True, ["not the protocol"])


@pytest.mark.host
def test_a_model_with_the_protocol_built_in_runs_everything_in_one_pass_with_its_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lmms_eval")
    from lmms_eval.models import MODEL_REGISTRY_V2
    from lmms_eval.models.registry_v2 import ModelManifest

    (tmp_path / "model_of_a_test.py").write_text(
        "from lmms_eval_shotbench.models.replay import Replay\n\n\n"
        "class BuiltIn(Replay):\n    protocol_built_in = True\n\n\n"
        "class NotBuiltIn(BuiltIn):\n    protocol_built_in = False\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(MODEL_REGISTRY_V2, "_manifests", dict(MODEL_REGISTRY_V2._manifests))
    monkeypatch.setattr(MODEL_REGISTRY_V2, "_alias_to_model_id", dict(MODEL_REGISTRY_V2._alias_to_model_id))
    for name, class_name in (("built_in", "BuiltIn"), ("not_built_in", "NotBuiltIn")):
        MODEL_REGISTRY_V2.register_manifest(ModelManifest(name, simple_class_path=f"model_of_a_test.{class_name}"))
    ours, others = resolve_tasks("shotbench,mme", ALL)
    request = EvalRequest("shotbench,mme", "data", Path("out"), Path("out"), "built_in", "fps=3,responses=x")
    (only,) = plan_passes(request, ours, others)
    assert (only.name, only.model_args, only.resample_clips) == ("all", "fps=3,responses=x", False)
    assert only.tasks == ["mme", *(task.name for task in ours)] and not only.warnings
    two = plan_passes(replace(request, model="not_built_in"), ours, others)
    assert [one.name for one in two] == ["stills", "clips"]
