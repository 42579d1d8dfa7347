"""`shotbench audit`: finds exactly the faults of synthetic and real questions."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.runs.audit import PAIRED, UNPAIRED, Audit, Fault, audit_questions, items_needed, read_splits
from lmms_eval_shotbench.runs.audit_report import audit_json, audit_section, audit_table
from lmms_eval_shotbench.scoring.letter_balance import chi_square_tail, letter_balance
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, DIMENSIONS, LENS_SIZE, LIGHTING_CONDITION, SHOT_SIZE
from tests.support.items import make_item
from tests.support.shard_rows import ABOUT, row, rows

PLAIN = ("Wide", "Medium", "Close up", "Extreme close up")


def faults_of(*items: QAItem) -> set[Fault]:
    overall = audit_questions({"test": items}).overall
    return {fault for fault, ids in overall.faults.items() if ids}


def movement(*options: str) -> QAItem:
    return make_item(options, "A", CAMERA_MOVEMENT.slug)


@pytest.fixture(scope="module")
def real_audit(real_data: Path) -> Audit:
    return audit_questions(read_splits(real_data / "shotbench" / "test.tsv"))


def test_half_of_the_real_camera_movement_can_be_guessed(real_audit: Audit) -> None:
    stored = audit_json(real_audit)
    prior = [round(100 * stored["by_dimension"][d.slug]["prior_accuracy"], 1) for d in DIMENSIONS]
    assert prior == [26.6, 28.3, 25.9, 22.7, 35.6, 42.9, 20.3, 52.4]
    assert round(100 * stored["overall"]["prior_accuracy"], 1) == 31.3
    assert stored["overall"]["chance"] == 0.25


def test_the_real_compound_shares_are_unchanged(real_audit: Audit) -> None:
    shares = [round(100 * health.compound_share, 1) for health in real_audit.by_dimension.values()]
    assert shares == [3.1, 12.1, 9.0, 2.2, 18.5, 31.4, 4.4, 15.1]


def test_the_real_letters_media_and_faults_are_counted(real_audit: Audit) -> None:
    assert real_audit.overall.letters.counts == {"A": 858, "B": 865, "C": 907, "D": 942}
    assert real_audit.overall.letters.most_lopsided == "D"
    assert real_audit.media_asked_again == {2: 57, 3: 1}
    assert (real_audit.overall.items, real_audit.overall.media) == (3572, 3513)
    faults = real_audit.overall.faults
    assert faults[Fault.ANSWER_CONTAINED] == ["shotbench-01432"]  # "Long Lens, Long Lens" beside "Long Lens, …"
    assert len(faults[Fault.REPEATED_TERM]) == 7 and "shotbench-01432" in faults[Fault.REPEATED_TERM]
    assert not faults[Fault.OPTIONS_ALIKE] and not faults[Fault.NO_TERM] and not faults[Fault.ASKED_TWICE]
    assert real_audit.spellings[LENS_SIZE.slug] == {"Long Lens": {"Long Lens": 478, "Long Lens, Long Lens": 6}}
    assert {"Move to the right", "Trucking right"} <= set(
        real_audit.spellings[CAMERA_MOVEMENT.slug]["Move to the right"]
    )
    assert len(real_audit.too_small) == 8


def test_the_refined_questions_are_easier_to_guess(real_audit: Audit, real_data: Path) -> None:
    refined = audit_questions(read_splits(real_data / "refineshot" / "test.tsv"))
    assert refined.overall.prior.value > real_audit.overall.prior.value + 0.05
    assert refined.by_dimension[LIGHTING_CONDITION.slug].prior.value > 0.6
    assert len(refined.overall.faults[Fault.NO_TERM]) == 249  # options "yes" and "no"
    assert refined.overall.chance > 0.25


def test_options_are_equal_in_another_spelling_or_order_but_not_in_another_temporal_order() -> None:
    assert faults_of(movement("Static", "Arc", "Static shot", "Zoom in")) == {Fault.OPTIONS_ALIKE}
    assert faults_of(movement("Arc", "Zoom in", "arc.", "Zoom out")) == {Fault.OPTIONS_ALIKE}
    wide = make_item(("Wide, Medium", "Medium, Wide", "Close up", "Extreme close up"))
    assert faults_of(wide) == {Fault.OPTIONS_ALIKE}
    turned = ("Firstly Pan left, then Arc", "Firstly Arc, then Pan left", "Arc, Pan left", "Zoom in, Boom up")
    assert faults_of(movement(*turned)) == set()
    assert faults_of(make_item(("Yes", "yes.", "No"), "A")) == {Fault.OPTIONS_ALIKE, Fault.NO_TERM}


def test_a_correct_answer_contained_in_another_option_is_found_but_not_a_wrong_one() -> None:
    assert faults_of(movement("Push in", "Push in and Tilt up", "Arc", "Zoom in")) == {Fault.ANSWER_CONTAINED}
    assert faults_of(movement("Arc", "Push in and Tilt up", "Push in", "Zoom in")) == set()


def test_repeated_terms_and_options_without_terms_are_found() -> None:
    assert faults_of(movement("Arc", "Firstly Pan left, then Pan left", "Push in", "Zoom in")) == {Fault.REPEATED_TERM}
    assert faults_of(make_item(("Wide", "Gigantic", "Close up"), "A")) == {Fault.NO_TERM}


def test_a_question_asked_twice_is_found_and_another_question_on_the_medium_is_counted() -> None:
    first = make_item(PLAIN, index=1)
    again, other = replace(first, item_id="again"), make_item(PLAIN, dimension="lens_size", index=2)
    audit = audit_questions({"test": [first, again, other, make_item(PLAIN, index=3, media="b.jpg")]})
    assert audit.overall.faults[Fault.ASKED_TWICE] == ["again"]
    assert audit.media_asked_again == {3: 1}
    assert (audit.overall.items, audit.overall.media) == (4, 2)


def test_spellings_of_one_label_are_counted_by_dimension() -> None:
    sizes = [make_item(("Wide", "ECU", "Medium"), "A", index=n, media=f"{n}.jpg") for n in range(3)]
    sizes.append(make_item(("wide.", "Extreme Close Up", "Medium"), "A", index=9, media="9.jpg"))
    lens = make_item(("Wide Lens", "Medium", "Telephoto"), "A", LENS_SIZE.slug, index=10, media="10.jpg")
    assert audit_questions({"test": [*sizes, lens]}).spellings == {
        SHOT_SIZE.slug: {"Extreme Close Up": {"ECU": 3, "Extreme Close Up": 1}, "Wide": {"Wide": 3, "wide.": 1}},
        LENS_SIZE.slug: {},
    }


def test_a_medium_in_two_splits_is_named() -> None:
    one, other = make_item(index=1, media="same.jpg"), make_item(index=2, media="own.jpg")
    audit = audit_questions({"sft": [one, other], "test": [replace(one, item_id="elsewhere")]})
    assert audit.media_in_two_splits == ["same.jpg"]
    assert "media in two splits: 1" in audit_table(audit)


@pytest.mark.parametrize(("statistic", "freedom"), [(3.841, 1), (5.991, 2), (7.815, 3), (9.488, 4), (11.070, 5)])
def test_chi_square_is_that_of_the_tables(statistic: float, freedom: int) -> None:
    assert chi_square_tail(statistic, freedom) == pytest.approx(0.05, abs=1e-4)
    assert chi_square_tail(0.0, freedom) == 1.0


def test_unbalanced_letters_are_distinguished_from_balanced_ones() -> None:
    balanced = [make_item(answer="ABCD"[n % 4], index=n) for n in range(400)]
    unbalanced = [make_item(answer="A" if n % 3 else "ABCD"[n % 4], index=n) for n in range(400)]
    assert letter_balance(balanced).p == 1.0
    found = letter_balance(unbalanced)
    assert found.p is not None and found.p < 1e-6 and found.most_lopsided == "A" and found.excess > 1
    assert letter_balance(balanced[:19]).p is None


def test_letters_of_questions_with_fewer_options_are_expected_less_often() -> None:
    two = [make_item(("Wide", "Medium"), "AB"[n % 2], index=n) for n in range(100)]
    four = [make_item(answer="ABCD"[n % 4], index=n) for n in range(100)]
    found = letter_balance([*two, *four])
    assert found.counts == {"A": 75, "B": 75, "C": 25, "D": 25}
    assert found.expected == pytest.approx(found.counts) and found.p == 1.0


def test_items_needed_and_the_detectable_difference_are_consistent() -> None:
    assert items_needed(0.05, UNPAIRED) == math.ceil((1.96 + 0.8416) ** 2 * 0.5 / 0.05**2) == 1570
    enough = [make_item(answer="ABCD"[n % 4], index=n, media=f"{n}.jpg") for n in range(items_needed(0.1, PAIRED))]
    assert audit_questions({"test": enough}, 0.1).too_small == []
    assert audit_questions({"test": enough[1:]}, 0.1).too_small == [SHOT_SIZE.slug]


@pytest.mark.slow
def test_the_command_prints_a_table_of_100_columns(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(real_data / "shotbench" / "test.tsv")]) == 0
    table = capsys.readouterr().out
    assert max(map(len, table.splitlines())) <= 100
    for words in (
        "Camera Movement         464    25.0   52.4",
        "47.8 – 56.9",
        "Lighting Type, Lighting Condition, Camera",
    ):
        assert words in table


def test_the_command_audits_all_splits_of_shards_or_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards = tmp_path / "shards"
    write_shards([row(n, split=("sft", "test")[n % 2]) for n in range(10)], shards, ABOUT, splits=["sft", "test"])
    assert main(["audit", str(shards), "--format", "json", "--out", str(tmp_path / "deep" / "audit.json")]) == 0
    stored = json.loads((tmp_path / "deep" / "audit.json").read_text(encoding="utf-8"))
    assert (stored["splits"], stored["overall"]["items"]) == ({"sft": 5, "test": 5}, 10)
    assert {"items", "compound_share", "prior_accuracy", "letter_counts"} <= set(stored["by_dimension"][SHOT_SIZE.slug])
    assert main(["audit", str(shards), "--split", "sft", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["splits"] == {"sft": 5}
    assert main(["audit", str(shards), "--split", "none"]) == 2
    assert "has no split 'none'" in capsys.readouterr().err
    assert main(["audit", str(shards), "--difference", "5"]) == 2
    assert "between 0 and 1, got 5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "responses.jsonl.gz",
            b"\x1f\x8b\x08\x00",
            "it is no tab-separated text in UTF-8 ('utf-8' codec can't decode byte",
        ),
        ("file.parquet", b"PAR1\x15\xff\x00", "it is no tab-separated text in UTF-8"),
        ("README.md", b"# ShotBench\n\nQuestions.\n", "its first line names no column index, type, path"),
        ("rows.tsv", b"index\tquestion\n1\tWhat?\n", "its first line names no column type, path, options, answer, cat"),
        ("empty.tsv", b"", "no rows follow its first line"),
        ("header.tsv", b"index\ttype\tpath\tquestion\toptions\tanswer\tcategory\n", "no rows follow its"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_a_file_without_questions_is_named_with_what_to_give_instead(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert main(["audit", str(tmp_path / name)]) == 2
    printed = capsys.readouterr().err
    assert f"{tmp_path / name} holds no questions: {reason}" in printed
    assert "give a test.tsv in the release's layout (columns index, type," in printed and "a Hub id" in printed


def test_every_dataset_card_has_the_audit_of_its_shards(tmp_path: Path) -> None:
    write_shards(rows(12), tmp_path / "out", ABOUT, splits=["dev", "test"])
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    section = audit_section(audit_questions(read_splits(tmp_path / "out")))
    assert f"## What they give away\n\n{section}\n" in card
    assert "| Shot Size | 8 | 25.0% |" in section and "A 2, B 2, C 2, D 2" in section
    assert "* Options that cannot be told apart: 0" in section and "* Media asked more than once: none" in section
    assert (
        "* Labels written in several ways: 0" in section and "* Too small to detect a difference of 5 points" in section
    )


def test_an_audit_without_questions_is_refused() -> None:
    with pytest.raises(ValueError, match="no items"):
        audit_questions({"test": []})
