"""The shot explorer's data: every item once, with the answer of each run, limited in size and safe in HTML."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.report.assemble import assemble
from lmms_eval_shotbench.report.explorer import (
    LONGEST_RESPONSE,
    RunAnswer,
    cut_response,
    explorer_parts,
    explorer_records,
    explorer_section,
    script_json,
    shared_limit,
)
from lmms_eval_shotbench.report.gather import ReportRun, read_report_run
from lmms_eval_shotbench.report.thumbnails import FRAMES, ThumbnailSource, media_of_runs, thumbnails
from lmms_eval_shotbench.report.write import write_report
from lmms_eval_shotbench.vocabulary import MediaKind

HOSTILE = ("</script><script>alert(1)</script>", "<!--<script>", "]]>", "\u2028\u2029", "&lt;/script&gt;", "\0\x1b[31m")


def run_of(folder: Path, name: str, questions: Path, responses: dict[int, str]) -> ReportRun:
    """Return a run with these responses, as read by `shotbench report`."""
    path = folder / f"{name}.jsonl"
    lines = [json.dumps({"index": index, "response": text}) for index, text in responses.items()]
    path.write_text("\n".join(lines))
    return read_report_run(path, str(questions))


@pytest.fixture(scope="module")
def items(studio_shards: Path) -> list[QAItem]:
    return read_questions(studio_shards)


@pytest.fixture(scope="module")
def report_runs(studio_shards: Path, items: list[QAItem], tmp_path_factory: pytest.TempPathFactory) -> list[ReportRun]:
    """One run that is always correct, and one that answers A to all items but the first, which it does not have."""
    folder = tmp_path_factory.mktemp("runs")
    gold = run_of(folder, "gold", studio_shards, {item.source_index: item.answer for item in items})
    return [gold, run_of(folder, "a", studio_shards, {item.source_index: "A" for item in items[1:]})]


def test_every_item_occurs_once_with_the_answer_of_each_run(report_runs: list[ReportRun], items: list[QAItem]) -> None:
    records = explorer_records(report_runs)
    assert [record.item_id for record in records] == [item.item_id for item in items]
    for index, (record, item) in enumerate(zip(records, items, strict=True)):
        assert (record.question, record.options, record.answer) == (item.question, item.options, item.answer)
        correct = RunAnswer(item.answer, True, item.answer, 0)
        assert list(record.answers) == [correct, RunAnswer("A", item.answer == "A", "A", 0) if index else None]


def test_the_prior_is_that_of_the_scores(report_runs: list[ReportRun]) -> None:
    records = explorer_records(report_runs[:1])
    correct = sum(record.prior == record.answer for record in records)
    assert correct / len(records) == pytest.approx(report_runs[0].scores["prior"]["accuracy"]["value"])


def test_items_of_scores_without_data_have_no_question_or_response(report_runs: list[ReportRun]) -> None:
    bare = replace(report_runs[0], items=(), samples=(), data="")
    record = explorer_records([bare])[0]
    assert (record.question, list(record.options), record.prior) == ("", [], None)
    assert record.answers[0] == RunAnswer(record.answer, True, None, 0)
    assert not media_of_runs([bare])


def test_runs_with_different_questions_have_separate_items(report_runs: list[ReportRun]) -> None:
    first, *rest = report_runs[0].stored.items
    changed = replace(report_runs[0].stored, items=[replace(first, asked="another question"), *rest])
    records = explorer_records([report_runs[0], replace(report_runs[0], stored=changed)])
    assert len(records) == len(rest) + 2
    assert sum(None in record.answers for record in records) == 2


@pytest.mark.parametrize("text", HOSTILE)
def test_embedded_json_cannot_end_its_element(text: str) -> None:
    embedded = script_json({text: [text]})
    assert not set("<>&\u2028\u2029\0\x1b") & set(embedded)
    assert json.loads(embedded) == {text: [text]}


def test_a_lone_surrogate_is_a_question_mark() -> None:
    assert json.loads(script_json("a\ud800b")) == "a?b"


def test_a_long_response_is_truncated_by_a_recorded_amount(
    studio_shards: Path, items: list[QAItem], tmp_path: Path
) -> None:
    long = run_of(tmp_path, "long", studio_shards, {items[0].source_index: "x" * 1_000_000, items[1].source_index: "B"})
    first, second = (record.answers[0] for record in explorer_records([long]))
    assert first is not None and second is not None
    assert (len(first.response or ""), first.cut) == (LONGEST_RESPONSE, 1_000_000 - LONGEST_RESPONSE)
    assert (second.response, second.cut) == ("B", 0)


@pytest.mark.parametrize("char", ["x", "<", "映", "\0"])
def test_all_responses_stay_within_the_budget(char: str) -> None:
    responses = ["short", *(char * length for length in (10, 400, 5000, 300_000))]
    limit = shared_limit(responses, 3000)
    truncated = [cut_response(response, limit) for response in responses]
    assert truncated[:2] == responses[:2]
    assert all(response.startswith(part) for response, part in zip(responses, truncated, strict=True))
    assert 2000 < sum(len(script_json(part).encode()) for part in truncated) <= 3000


def test_without_a_budget_responses_are_empty() -> None:
    assert cut_response("abc", shared_limit(["abc"], 0)) == ""


def test_every_medium_has_one_picture_within_the_budget(report_runs: list[ReportRun], items: list[QAItem]) -> None:
    from PIL import Image

    media = media_of_runs(report_runs)
    assert set(media) == {item.medium for item in items}
    pictures = thumbnails(media, 400_000)
    assert set(pictures) == set(media)
    assert sum(len(picture.uri) for picture in pictures.values()) <= 400_000
    for name, picture in pictures.items():
        encoded = base64.b64decode(picture.uri.removeprefix("data:image/webp;base64,"))
        with Image.open(io.BytesIO(encoded)) as opened:
            width, height = opened.size
        clip = media[name].kind is MediaKind.CLIP
        assert picture.frames == (FRAMES if clip else 1)
        assert (width / height > 4) == clip, "a clip is a strip"


def test_a_larger_budget_gives_larger_pictures_and_the_same_budget_the_same(report_runs: list[ReportRun]) -> None:
    media = dict(list(media_of_runs(report_runs).items())[:8])
    small, large = thumbnails(media, 5_000), thumbnails(media, 50_000)
    assert sum(len(one.uri) for one in large.values()) > sum(len(one.uri) for one in small.values())
    assert thumbnails(media, 5_000) == small


def test_a_medium_that_cannot_be_decoded_has_no_picture() -> None:
    media = {
        "still": ThumbnailSource(MediaKind.STILL, lambda: b"no"),
        "clip": ThumbnailSource(MediaKind.CLIP, lambda: b"no"),
    }
    assert thumbnails(media, 1_000_000) == {}


def test_the_page_states_how_many_pictures_are_missing(report_runs: list[ReportRun]) -> None:
    media = media_of_runs(report_runs)
    assert f"{len(media)} media have no picture here" in explorer_section(report_runs, 0.0).html
    assert "have no picture" not in explorer_section(report_runs, 1.0).html
    assert (
        "not part of this report"
        in explorer_parts(["bare"], explorer_records([replace(report_runs[0], data="")]), {}).html
    )


@pytest.mark.slow
def test_pictures_take_only_the_remaining_size_of_the_page(
    report_runs: list[ReportRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = assemble(report_runs)

    def size(name: str, thumbnails_mb: float | None) -> int:
        write_report(data, tmp_path / name / "report.html", thumbnails_mb)
        return (tmp_path / name / "report.html").stat().st_size

    bare = size("bare", 0)
    monkeypatch.setattr("lmms_eval_shotbench.report.write.PAGE_MB", (bare + 40_000) / 1_000_000)
    assert bare < size("bound", None) <= bare + 40_000 < size("asked for", 1.0)


def test_names_are_escaped(report_runs: list[ReportRun]) -> None:
    html = explorer_parts(["<script>x</script>"], [], {}).html
    assert "<script>x" not in html
