"""From the classes of a checkpoint to the option that a question offers, through the file of labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmms_eval_shotbench.grading.grade import PROTOCOLS, grade
from lmms_eval_shotbench.models.classifier_answers import options_of, response_text, undecided_text
from lmms_eval_shotbench.models.label_map import (
    BadLabelMap,
    ClassMap,
    label_map_skeleton,
    read_label_map,
    unmapped_warning,
)
from lmms_eval_shotbench.qa_item import QAItem
from tests.support.items import make_item

CLASSES = ["ECS", "CS", "MS", "FS", "LS"]  # five shot sizes, where ShotBench has seven
FIVE_SIZES = """
[shot_size]
ECS = "ECU"
CS = ["Close Up", "Medium Close Up"]
MS = "Medium"
FS = "Medium Wide shot"
LS = ["Wide", "Extreme Wide"]
"""


def label_map(folder: Path, text: str, classes: list[str]) -> ClassMap:
    file = folder / "labels.toml"
    file.write_text(text, encoding="utf-8")
    return read_label_map(file, classes)


def answered(item: QAItem, labels: ClassMap, *probabilities: float) -> str | None:
    """The letter that both protocols read in the response, or None if it is undecided."""
    options = options_of(item, labels)
    text = undecided_text(options.undecided) if options.undecided else response_text(options, probabilities)
    (letter,) = {grade(item, text, protocol).letter for protocol in PROTOCOLS}
    return letter


def test_the_option_of_the_most_probable_class_is_answered(tmp_path: Path) -> None:
    labels = label_map(tmp_path, FIVE_SIZES, CLASSES)
    item = make_item(("Wide", "Medium", "Close up", "Extreme close up"))
    assert answered(item, labels, 0.1, 0.2, 0.1, 0.5, 0.1) == "C", "of the options, whatever else is more probable"
    assert answered(item, labels, 0.1, 0.1, 0.1, 0.1, 0.6) == "A"


def test_two_options_of_one_class_are_undecided_only_if_it_is_the_best(tmp_path: Path) -> None:
    labels = label_map(tmp_path, FIVE_SIZES, CLASSES)
    item = make_item(("Close Up", "Medium Close Up", "Medium", "Wide"))
    assert answered(item, labels, 0.0, 0.6, 0.2, 0.1, 0.1) is None
    assert answered(item, labels, 0.0, 0.2, 0.6, 0.1, 0.1) == "C"


def test_several_classes_of_one_term_add_up(tmp_path: Path) -> None:
    classes = ["drone", "helicopter", "low"]
    labels = label_map(tmp_path, '[camera_angle]\ndrone = "Aerial"\nhelicopter = "Aerial"\nlow = "Low angle"', classes)
    item = make_item(("Low angle", "Aerial"), "B", "camera_angle")
    assert answered(item, labels, 0.3, 0.3, 0.4) == "B"


def test_an_option_of_several_terms_has_their_mean(tmp_path: Path) -> None:
    terms = ["Backlight", "Silhouette", "Side light"]
    labels = label_map(tmp_path, label_map_skeleton(terms), terms)
    item = make_item(("Backlight", "Backlight, Silhouette", "Side light"), "B", "lighting_condition")
    assert answered(item, labels, 0.5, 0.3, 0.2) == "A"
    assert answered(item, labels, 0.3, 0.5, 0.2) == "B"


def test_the_order_of_steps_is_not_guessed(tmp_path: Path) -> None:
    classes = ["Pan left", "Tilt up", "Zoom in"]
    labels = label_map(tmp_path, label_map_skeleton(classes), classes)
    sequences = ("Firstly Pan left, then Tilt up", "Firstly Tilt up, then Pan left", "Zoom in")
    item = make_item(sequences, "A", "camera_movement")
    assert answered(item, labels, 0.45, 0.45, 0.1) is None
    assert answered(item, labels, 0.1, 0.1, 0.8) == "C"


@pytest.mark.parametrize(
    ("dimension", "options"),
    [("lens_size", ("Wide", "Long Lens")), ("shot_size", ("yes", "no"))],
)
def test_questions_without_an_option_of_a_class_are_undecided_with_the_reason(
    tmp_path: Path, dimension: str, options: tuple[str, ...]
) -> None:
    labels = label_map(tmp_path, FIVE_SIZES, CLASSES)
    item = make_item(options, "A", dimension)
    assert "no class" in options_of(item, labels).undecided
    assert answered(item, labels) is None


@pytest.mark.parametrize(
    ("options", "distinguished"),
    [
        (("Extreme Close Up", "Close Up", "Medium", "Wide"), True),
        (("Close Up", "Medium Close Up", "Medium", "Wide"), False),
        (("Close Up", "yes"), False),
    ],
)
def test_only_questions_with_a_class_of_its_own_for_each_option_are_distinguished(
    tmp_path: Path, options: tuple[str, ...], distinguished: bool
) -> None:
    labels = label_map(tmp_path, FIVE_SIZES, CLASSES)
    assert options_of(make_item(options, "A"), labels).distinguished is distinguished
    without_checkpoint = read_label_map(tmp_path / "labels.toml")
    assert options_of(make_item(options, "A"), without_checkpoint).distinguished is distinguished


def test_a_class_may_be_left_out_on_purpose_and_is_listed_otherwise(tmp_path: Path) -> None:
    labels = label_map(tmp_path, '[shot_size]\nCS = "Close Up"\nFS = []', CLASSES)
    assert labels.unmapped == ["ECS", "MS", "LS"]
    assert "3 of 5 classes" in unmapped_warning(labels)
    assert "'ECS', 'MS', 'LS'" in unmapped_warning(labels)
    assert not unmapped_warning(label_map(tmp_path, FIVE_SIZES, CLASSES))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[shot_size]\nCS = "Closeish"', r"'CS': 'Closeish' is no term of Shot Size; its terms: Extreme Close Up,"),
        ('[shot_size]\nXCS = "Close Up"', r"has no class 'XCS'; is it 'ECS'\?|has no class 'XCS'; is it 'CS'\?"),
        ('[shot_size]\nmascot = "Wide"', r"no class 'mascot'; its classes: 'ECS', 'CS', 'MS', 'FS', 'LS'"),
        ('[shot_sizes]\nCS = "Close Up"', r"'shot_sizes' is no dimension; use one of shot_size,"),
        ("[shot_size]\nCS = 3", r"'CS' is 3, expected a term or a list of terms"),
        ("shot_size = 3", r"write \[shot_size\]"),
        ("[shot_size]\nCS = []", "no class stands for any term"),
        ("", "no class stands for any term"),
        ("[shot_size", "cannot be read"),
    ],
)
def test_a_file_of_labels_that_does_not_fit_is_an_error_that_says_what_to_change(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(BadLabelMap, match=message):
        label_map(tmp_path, text, CLASSES)


def test_all_defects_of_a_file_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadLabelMap, match=r"(?s)'Closeish'.*'Nope'.*shot_sizes"):
        label_map(tmp_path, '[shot_size]\nCS = "Closeish"\nNope = "Wide"\n[shot_sizes]\nCS = "Wide"', CLASSES)


def test_a_class_name_that_the_checkpoint_has_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadLabelMap, match="several classes 'crane'"):
        label_map(tmp_path, '[shot_size]\ncrane = "Wide"', ["crane", "crane"])


def test_a_missing_file_of_labels_is_answered_by_one_to_complete(tmp_path: Path) -> None:
    classes = ["close_up", "WS", "title card"]
    with pytest.raises(BadLabelMap) as error:
        read_label_map(tmp_path / "labels.toml", classes)
    assert "labels.toml does not exist" in str(error.value)
    skeleton = str(error.value).partition("\n\n")[2]
    assert skeleton == '[shot_size]\n"close_up" = "Close Up"\n"WS" = "Wide"\n"title card" = []\n'
    assert label_map(tmp_path, skeleton, classes).unmapped == []
