"""scores.schema.json describes every stored field, and docs/scores.md is generated from it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from lmms_eval_shotbench.grading.grade import PROTOCOLS, Protocol
from lmms_eval_shotbench.harness.eval_plan import EvalRequest, Pass
from lmms_eval_shotbench.harness.run_record import describe_run
from lmms_eval_shotbench.harness.task_files import Task
from lmms_eval_shotbench.prompts import DIRECT
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.runs.score import score_responses
from lmms_eval_shotbench.runs.scores_json import SCHEMA, scores_json
from lmms_eval_shotbench.runs.scores_schema import BadRun, check_scores, scores_page, scores_schema
from lmms_eval_shotbench.runs.stored_runs import AnsweredItem
from lmms_eval_shotbench.vocabulary import DIMENSIONS, slugs
from tests.support import REPOSITORY
from tests.support.items import make_item
from tests.support.real_data import stored_responses

RUNS = [f"shotbench.{name}" for name in ("qwen2.5-vl-3b.direct", "shotvl-3b.reasoning", "shotvl-3b.reasoning.run0")]
RUNS += [
    f"refineshot.{model}.{style}"
    for model in ("qwen2.5-vl-3b", "shotvl-3b")
    for style in ("direct", "reasoning", "step_by_step")
]


def closed(schema: Any, is_part: bool = False) -> Any:
    """Return the schema without undescribed fields allowed; a definition is closed where it is referenced.

    Conditions only restrict fields that are described elsewhere.
    """
    if isinstance(schema, list):
        return [closed(each, is_part) for each in schema]
    if not isinstance(schema, dict):
        return schema
    conditions = {name: schema[name] for name in ("if", "else") if name in schema}
    others = {name: value for name, value in schema.items() if name not in ("$defs", *conditions)}
    inner = {name: closed(value, is_part=name == "allOf") for name, value in others.items()} | conditions
    if "$defs" in schema:
        inner["$defs"] = {name: closed(part, is_part=True) for name, part in schema["$defs"].items()}
    describes = {"$ref", "properties", "allOf"} & set(schema)
    return inner | {"unevaluatedProperties": False} if describes and not is_part else inner


@pytest.mark.slow
def test_every_real_run_is_valid_and_has_no_undescribed_field(
    real_data: Path, real_items: Mapping[int, QAItem], refined_items: Mapping[int, QAItem]
) -> None:
    fits = Draft202012Validator(scores_schema())
    described = Draft202012Validator(closed(scores_schema()))
    for name in RUNS:
        questions = refined_items if name.startswith("refineshot") else real_items
        rows = stored_responses(real_data, name)
        items = [questions[int(str(row["index"]))] for row in rows]
        for protocol in PROTOCOLS:
            written = scores_json(score_responses(items, [str(row["response"] or "") for row in rows], protocol))
            scores = json.loads(json.dumps(written))
            assert not list(fits.iter_errors(scores)), (name, protocol)
            assert not list(described.iter_errors(scores | {"items": scores["items"][:9]})), (name, protocol)


@pytest.mark.parametrize(
    "way", [(), ("accuracy",), ("accuracy", "micro"), ("prior",), ("prior", "macro"), ("items", 0), ("run",)], ids=str
)
def test_an_undescribed_field_is_found(way: tuple[str | int, ...]) -> None:
    described = Draft202012Validator(closed(scores_schema()))
    scores = small_scores()
    assert described.is_valid(scores)
    inside = scores
    for step in way:
        inside = inside[step]
    inside["new"] = 1
    assert not described.is_valid(scores)
    check_scores(scores, Path("scores.json"), "numbers")  # further fields are allowed in stored files
    check_scores(scores, Path("scores.json"), "answers")


def small_scores(protocol: Protocol = "strict") -> Any:
    """Return scores of four responses, with a record of `shotbench eval`."""
    request = EvalRequest("shotbench", "data", Path("out"), Path("out"), "shotvl", "pretrained=x", passed_on=["--log"])
    passes = [Pass("stills", ["shotbench_shot_size"], "pretrained=x")]
    run = describe_run(request, REPOSITORY / "setup.cfg", passes, [Task(DIRECT, DIMENSIONS[0])], [make_item()])
    items = [make_item(index=index, answer="ABCD"[index]) for index in range(4)]
    scored = score_responses(items, ["A", "B", "A", ""], protocol, run=run | {"warnings": ["clips at 3 fps"]})
    return json.loads(json.dumps(scores_json(scored)))


def test_the_page_is_generated_from_the_schema() -> None:
    committed = (REPOSITORY / "docs" / "scores.md").read_text(encoding="utf-8")
    assert committed == scores_page(), "run: python -m lmms_eval_shotbench.runs.scores_schema > docs/scores.md"


def test_its_enumerations_equal_those_of_the_code() -> None:
    definitions = scores_schema()["$defs"]
    fields = definitions["answers"]["properties"]
    assert definitions["dimension"]["enum"] == slugs()
    assert tuple(fields["protocol"]["enum"]) == PROTOCOLS
    assert fields["schema"]["const"] == SCHEMA
    assert {*fields["items"]["items"]["required"], "letters"} == set(AnsweredItem.__dataclass_fields__)


def test_it_is_a_valid_schema_of_its_draft() -> None:
    Draft202012Validator.check_schema(scores_schema())


@pytest.mark.parametrize(
    ("name", "value"), [("letter", "A\n"), ("letter", ["A"]), ("index", 7.0), ("index", True), ("dimension", ["x"])]
)
def test_values_of_similar_python_types_are_refused(name: str, value: object) -> None:
    scores = small_scores()
    scores["items"][2][name] = value
    with pytest.raises(BadRun, match=f"{name} of an item"):
        check_scores(scores, Path("scores.json"), "answers")


def test_jsonschema_is_imported_only_where_a_stored_run_is_read() -> None:
    code = (
        "import sys, lmms_eval_shotbench.runs.compare, lmms_eval_shotbench.runs.stored_runs\n"
        "sys.exit('jsonschema' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0
