"""Shards become a benchmark on the Hub: what `eval.yaml` declares is there, in the form that Inspect reads."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as parquet
import pytest
import yaml
from PIL import Image

from data_pipeline.shards import hub_benchmark
from data_pipeline.shards.dataset_card import read_about
from data_pipeline.shards.eval_yaml import BadEvalYaml, check_eval_yaml
from data_pipeline.shards.hub_benchmark import NoStills, add_benchmark, still_data_url
from data_pipeline.shards.hub_viewer import NotViewable, check_viewable
from data_pipeline.shards.manifest import verified_files
from data_pipeline.shards.push import push
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.shards import ShardFolder
from tests.support.shard_rows import ABOUT, checksums, rows
from tests.support.small_shards import write_small_shards

QUESTIONS = {"shot_size": 3, "camera_movement": 2, "camera_angle": 2}


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return write_small_shards(tmp_path / "shards", QUESTIONS)


def tasks_of(shards: Path) -> dict[str, dict[str, Any]]:
    content = yaml.safe_load((shards / "eval.yaml").read_text(encoding="utf-8"))
    return {task["id"]: task for task in content["tasks"]}


def load(shards: Path, config: str | None, cache: Path) -> list[dict[str, Any]]:
    questions = datasets.load_dataset(str(shards), config, split="test", cache_dir=str(cache))
    return [dict(question) for question in questions.select_columns(["item_id", "answer", "options"])]


@pytest.mark.slow
def test_every_task_is_a_config_with_the_stills_of_its_dimension(shards: Path, tmp_path: Path) -> None:
    done = add_benchmark(shards)
    assert (done.questions, done.left_out) == ({"shot_size": 3, "camera_angle": 2}, 2)
    assert list(tasks_of(shards)) == ["stills", "shot_size", "camera_angle"]
    items = {item.item_id: item for item in ShardFolder(shards).items()}
    found = {name: load(shards, task["config"], tmp_path / "cache") for name, task in tasks_of(shards).items()}
    for name, questions in found.items():
        for question in questions:
            item = items[question["item_id"]]
            assert (question["answer"], question["options"]) == (item.answer, list(item.options))
            assert name in (item.dimension, "stills")
    assert {name: len(questions) for name, questions in found.items()} == {"stills": 5, **done.questions}


def test_the_fields_that_a_task_names_are_columns_and_the_picture_is_that_of_the_question(shards: Path) -> None:
    add_benchmark(shards)
    fields = tasks_of(shards)["shot_size"]["field_spec"]
    (question, *_) = parquet.read_table(shards / "inspect/shot_size.parquet").to_pylist()
    assert set(fields.values()) <= question.keys()
    kind, encoded = question[fields["input_image"]].split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(encoded) == ShardFolder(shards).media(question["item_id"])


def test_what_is_left_out_is_stated_in_the_file_and_on_the_card(shards: Path) -> None:
    add_benchmark(shards)
    assert "# Not declared: 2 questions about clips (camera_movement)" in (shards / "eval.yaml").read_text()
    assert "Left out are 2 questions about clips (camera_movement)" in (shards / "README.md").read_text()


@pytest.mark.slow
def test_the_benchmark_belongs_to_the_shards_and_is_the_same_when_it_is_added_again(
    shards: Path, tmp_path: Path
) -> None:
    questions = load(shards, None, tmp_path / "cache")
    before = checksums(shards)
    assert main(["data", "benchmark", str(shards)]) == 0
    added = checksums(shards)
    assert {name for name in added if added[name] != before.get(name)} == {
        "README.md", "manifest.json", "eval.yaml", "inspect/shot_size.parquet", "inspect/camera_angle.parquet"
    }  # fmt: skip
    assert {file.name for file in verified_files(shards)} == added.keys() - {"manifest.json"}
    add_benchmark(shards)
    assert checksums(shards) == added
    check_viewable(shards)
    assert load(shards, None, tmp_path / "cache") == questions  # the config that is loaded if none is named


def test_shards_derived_from_a_benchmark_do_not_inherit_its_section(shards: Path) -> None:
    about = read_about(shards)
    add_benchmark(shards)
    assert read_about(shards) == about


@pytest.mark.parametrize("target", ["copy", "memory://benchmark/shards"])
def test_a_benchmark_is_pushed_again_and_replaced_by_shards_that_are_none(
    target: str, shards: Path, tmp_path: Path
) -> None:
    target = target if "://" in target else str(tmp_path / target)
    add_benchmark(shards)
    assert push(shards, target).sent_files == len(checksums(shards))
    assert push(shards, target).sent_files == 0
    write_small_shards(tmp_path / "others", {"shot_size": 1})
    push(tmp_path / "others", target, overwrite=True)
    assert push(tmp_path / "others", target).sent_files == 0


def test_large_row_groups_are_split(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_benchmark, "ROW_GROUP_BYTES", 1)
    add_benchmark(shards)
    assert parquet.read_metadata(shards / "inspect/shot_size.parquet").num_row_groups == 3


@pytest.mark.parametrize(
    ("form", "kept"), [("JPEG", True), ("PNG", True), ("WEBP", True), ("TIFF", False), ("BMP", False)]
)
def test_stills_are_given_unchanged_in_a_common_format_and_else_as_png(form: str, kept: bool) -> None:
    stream = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(stream, form)
    kind, encoded = still_data_url(stream.getvalue()).split(",")
    decoded = base64.b64decode(encoded)
    assert kind == f"data:image/{form.lower() if kept else 'png'};base64"
    assert (decoded == stream.getvalue()) is kept
    with Image.open(io.BytesIO(decoded)) as shown, Image.open(io.BytesIO(stream.getvalue())) as stored:
        assert shown.convert("RGB").tobytes() == stored.convert("RGB").tobytes()


@pytest.mark.parametrize(("numbers", "split"), [({"camera_movement": 1}, "test"), ({"shot_size": 1}, "sft")])
def test_shards_without_test_stills_are_no_benchmark(
    numbers: dict[str, int], split: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shards"
    if split == "test":
        write_small_shards(folder, numbers)
    else:
        write_shards(rows(2, split), folder, ABOUT, splits=[split])
    with pytest.raises(NoStills, match=r"no stills|no split 'test'"):
        add_benchmark(folder)
    assert main(["data", "benchmark", str(folder)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


CONFIGS = {"default": ["test"], "shot_size": ["test"]}
VALID: dict[str, Any] = {
    "name": "A", "description": "B", "evaluation_framework": "inspect-ai",
    "tasks": [{"id": "a", "field_spec": {"input": "question", "target": "answer"}, "solvers": [{"name": "generate"}],
               "scorers": [{"name": "match"}]}],
}  # fmt: skip


def with_task(**changes: object) -> dict[str, Any]:
    return {**VALID, "tasks": [{**VALID["tasks"][0], **changes}]}


def test_a_valid_eval_yaml_is_accepted() -> None:
    check_eval_yaml(yaml.safe_dump(VALID), CONFIGS)
    other = {**VALID, "evaluation_framework": "mteb", "tasks": [{"id": "a"}, {"id": "b", "config": "shot_size"}]}
    check_eval_yaml(yaml.safe_dump(other), CONFIGS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "is not YAML"),
        ("[]", "not a mapping"),
        ({**VALID, "name": " "}, "name is ' '"),
        ({**VALID, "description": None}, "description is None"),
        ({**VALID, "evaluation_framework": "lmms-eval"}, "evaluation_framework is 'lmms-eval', expected one of"),
        ({**VALID, "evaluation_framework": ["mteb"]}, "evaluation_framework is"),
        ({**VALID, "tasks": []}, "tasks is"),
        ({**VALID, "tasks": ["a"]}, r"tasks\[0\] is 'a'"),
        ({**VALID, "tasks": VALID["tasks"] * 2}, r"tasks\[1\]\.id is 'a'"),
        (with_task(id=1), r"tasks\[0\]\.id is 1"),
        (with_task(config="lens_size"), r"tasks\[0\]\.config is 'lens_size', expected a config of the card"),
        (with_task(config=["default"]), r"tasks\[0\]\.config is"),
        (with_task(split="train"), r"tasks\[0\]\.split is 'train'"),
        (with_task(field_spec=None), r"field_spec is None"),
        (with_task(field_spec={"input": "question"}), r"field_spec is"),
        (with_task(field_spec={"input": "q", "target": "a", "input_video": "video"}), r"field_spec is .*input_video"),
        (with_task(solvers=[]), r"solvers is \[\]"),
        (with_task(solvers=[{"name": "guess"}]), r"solvers is .*guess"),
        (with_task(scorers=["choice"]), r"scorers is"),
    ],
)
def test_a_wrong_eval_yaml_is_refused_by_key(content: object, message: str) -> None:
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    with pytest.raises(BadEvalYaml, match=message):
        check_eval_yaml(text, CONFIGS)


def test_a_task_without_its_config_is_found_before_a_push(shards: Path) -> None:
    add_benchmark(shards)
    text = (shards / "eval.yaml").read_text(encoding="utf-8")
    (shards / "eval.yaml").write_text(text.replace("config: camera_angle", "config: lens_size"), encoding="utf-8")
    with pytest.raises(NotViewable, match="'lens_size', expected a config of the card"):
        check_viewable(shards)
