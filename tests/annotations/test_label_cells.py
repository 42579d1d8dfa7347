"""The words that film people write into cells are terms; what is none gets the nearest terms."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_pipeline.annotations.aliases import NO_ALIASES, Aliases, BadAliases
from data_pipeline.annotations.annotation_table import TableOptions, read_annotations
from data_pipeline.annotations.label_cells import UnknownWord, parse_label
from data_pipeline.annotations.spellings import SPELLINGS, all_spellings, known_term
from data_pipeline.defects import Defect, DefectKind
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import DIMENSIONS, UnknownTerm, dimension_named
from tests.support.real_data import REAL_DATA_VARIABLE

MOVE, SIZE, LIGHT = "camera_movement", "shot_size", "lighting_condition"


def label(slug: str, text: str, aliases: Aliases = NO_ALIASES) -> str:
    return str(parse_label(dimension_named(slug), text, aliases).label)


def test_the_spellings_of_the_list_of_film_people_are_known(real_data: Path) -> None:
    terms = real_data / "failing_media" / "terms.txt"
    if not terms.is_file():
        pytest.skip(f"needs {terms}: set {REAL_DATA_VARIABLE}")
    lines = [line.split("\t") for line in terms.read_text().splitlines() if not line.startswith("#")]
    for spelling, meaning in lines:
        name, _, term = meaning.partition(": ")
        dimension = dimension_named(name)
        for written in (spelling, spelling.upper(), spelling.replace(" ", "-"), spelling.replace("-", " ")):
            assert parse_label(dimension, written, NO_ALIASES).label == dimension.parse(term), written
    assert len(Aliases.read(terms).entries) == len(lines) == 36


@pytest.mark.parametrize(
    ("slug", "text", "term"),
    [
        ("shot_framing", "Clean single", "Single"),
        ("shot_framing", "2-shots", "2 shot"),
        ("shot_framing", "OTS's", "Over the shoulder"),
        ("shot_framing", "2S", "2 shot"),
        (MOVE, "pan L", "Pan left"),
        (MOVE, "rack", "Rack focus"),
        ("shot_framing", "three shot", "3 shot"),
        (MOVE, "Push out", "Pull out"),
        (MOVE, "Pull in", "Push in"),
        (MOVE, "Move left", "Move to the left"),
        (MOVE, "Tracks right", "Move to the right"),
        (MOVE, "dolly forward", "Push in"),
        (MOVE, "slow dolly-back", "Pull out"),
        (MOVE, "ped up", "Boom up"),
        (MOVE, "craning down", "Boom down"),
        (MOVE, "crab left", "Move to the left"),
        (MOVE, "panning to the left", "Pan left"),
        (MOVE, "The camera tilts upwards", "Tilt up"),
        (MOVE, "lock-off", "Static shot"),
        (MOVE, "Orbits clockwise", "Arc"),
        (MOVE, "pulling focus", "Rack focus"),
        (SIZE, "MCUs", "Medium Close Up"),
        (SIZE, "M.C.U.", "Medium Close Up"),
        (SIZE, "Medium Wide Shot (MWS)", "Medium Wide"),
        (SIZE, "cowboy", "Medium Wide"),
        (SIZE, "X.L.S.", "Extreme Wide"),
        ("camera_angle", "Bird’s-eye view", "Overhead"),
        ("camera_angle", "low-angles", "Low angle"),
        ("lens_size", "wideangle lens", "Wide"),
        ("lens_size", "ultra-wide/fisheye", "Ultra Wide / Fisheye"),
        ("lighting_type", "practical lamps", ""),
        ("lighting_type", "HMIs", "HMI"),
        (LIGHT, "Rim-lit", "Edge light"),
        (LIGHT, "back lighting", "Backlight"),
        ("composition", "Centre-weighted", "Center"),
        ("composition", "weighted to the right", "Right heavy"),
        (SIZE, "wide angle", ""),
        (SIZE, "long lens", ""),
        (SIZE, "full shot", ""),
        (SIZE, "Clean", ""),
        (MOVE, "no", ""),
        (MOVE, "camera", ""),
        (MOVE, "dolly", ""),
        (MOVE, "Medium Wide (CU)", ""),
    ],
)
def test_kin_of_a_term_is_that_term_and_of_none_is_none(slug: str, text: str, term: str) -> None:
    found = known_term(dimension_named(slug), text)
    assert (found.name if found else "") == term


def test_no_spelling_names_two_terms_and_every_own_spelling_names_its_term() -> None:
    for dimension in DIMENSIONS:
        for spelling, term in all_spellings(dimension):
            assert known_term(dimension, spelling) == term, spelling
        for name in SPELLINGS.get(dimension.slug, {}):
            assert name in {term.name for term in dimension.terms}


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("Pan left & tilt up", "Pan left, Tilt up"),
        ("Pan left + tilt up", "Pan left, Tilt up"),
        ("Pan left/Tilt up", "Pan left, Tilt up"),
        ("pan-left; tilt-up;", "Pan left, Tilt up"),
        ("Pan left|Tilt up", "Pan left, Tilt up"),
        ("Pan left with tilt up", "Pan left, Tilt up"),
        ("Pan left -> tilt up", "Firstly Pan left, then Tilt up"),
        ("Pan left → tilt up", "Firstly Pan left, then Tilt up"),
        ("Pan left => tilt up + zoom in", "Firstly Pan left, then Tilt up, Zoom in"),
        ("Pan left, and then tilt up", "Firstly Pan left, then Tilt up"),
        ("Pan left followed by tilt up", "Firstly Pan left, then Tilt up"),
        ("First: crane up > orbit > locked off", "Firstly Boom up, then Arc, then Static shot"),
    ],
)
def test_terms_are_joined_in_the_ways_of_tables(text: str, meaning: str) -> None:
    assert label(MOVE, text) == meaning


def test_a_joiner_between_two_sizes_does_not_make_a_third_size() -> None:
    for joiner in (", ", "/", " / ", " & ", " + ", ";", " and "):
        assert label(SIZE, f"Medium{joiner}Wide") == "Medium, Wide"
    assert label(SIZE, "Medium-Wide") == label(SIZE, "medium wide") == "Medium Wide"


@pytest.mark.parametrize(
    ("slug", "text", "nearest"),
    [
        (MOVE, "whip pan left", "Pan left"),
        (MOVE, "crash zoom in", "Zoom in"),
        (SIZE, "clsoe up", "Close Up"),
        (SIZE, "Medium Clos Up", "Medium Close Up"),
        ("camera_angle", "very low angle!!", "Low angle"),
        ("composition", "left-heavyish", "Left heavy"),
        (SIZE, "-", "Close Up"),  # nothing is near
    ],
)
def test_an_unknown_term_gets_the_nearest_ones(slug: str, text: str, nearest: str) -> None:
    with pytest.raises(UnknownWord) as unknown:
        label(slug, text)
    assert nearest in unknown.value.nearest and len(unknown.value.nearest) == 3
    assert f"the nearest are {', '.join(unknown.value.nearest)}" in str(unknown.value)


def test_a_term_of_another_dimension_is_called_that() -> None:
    with pytest.raises(UnknownWord, match="it is a term of camera_angle"):
        label(SIZE, "bird's eye")


def test_labels_of_the_release_mean_in_tables_what_they_mean_in_questions(real_items: dict[int, QAItem]) -> None:
    texts = {(item.dimension, text) for item in real_items.values() for text in item.options}
    assert len(texts) > 400
    for slug, text in texts:
        try:
            expected = dimension_named(slug).parse(text)
        except UnknownTerm:
            continue
        assert parse_label(dimension_named(slug), text, NO_ALIASES) == (expected, ()), text


ALIASES = """# words of our team
walk & talk = camera movement: Tracking
LS\tshot size: Extreme Wide
Cam static = camera_movement: static
handheld = camera movement: keep
POV = keep, ask nothing
"""


def aliases_of(folder: Path, text: str) -> Aliases:
    (folder / "words.txt").write_text(text, encoding="utf-8-sig")
    return Aliases.read(folder / "words.txt")


def test_the_words_of_a_team_count_before_the_vocabulary(tmp_path: Path) -> None:
    own = aliases_of(tmp_path, ALIASES)
    assert label(SIZE, "LS") == "Wide" and label(SIZE, "ls", own) == "Extreme Wide"
    assert label(MOVE, "Walk & Talk", own) == "Tracking"
    assert label(MOVE, "cam-static -> walk & talk + pan left", own) == "Firstly Static shot, then Tracking, Pan left"


def test_words_that_are_kept_are_recorded_and_not_asked_about(tmp_path: Path) -> None:
    own = aliases_of(tmp_path, ALIASES)
    dimension = dimension_named(MOVE)
    assert parse_label(dimension, "Hand-held & pan left", own) == (dimension.parse("Pan left"), ("Hand-held",))
    assert parse_label(dimension, "handheld", own) == (None, ("handheld",))
    assert parse_label(dimension, "handheld -> pan left", own) == (None, ("handheld",))
    with pytest.raises(UnknownWord):
        label(SIZE, "handheld", own)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("handheld", "write OWN WORDS = DIMENSION: TERM"),
        ("= keep", "is no entry"),
        ("handheld = Tracking", "no dimension"),
        ("handheld = colour: red", "'colour' is no dimension; use one of shot_size"),
        ("handheld = camera movement: shaky", "'shaky' is no term of camera_movement; use one of Push in"),
        ("LS = shot size: Wide\nls = shot size: Medium", "line 2: .* contradicts line 1"),
    ],
)
def test_a_line_that_is_no_alias_says_what_to_write(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(BadAliases, match=message):
        aliases_of(tmp_path, line)


TABLE = """film_id,media,start,end,shot_size,camera_movement,shot_id
Heat,heat.mp4,1,2,CU,handheld,a
Heat,heat.mp4,2,3,,POV,b
Heat,heat.mp4,3,4,Wide-ish,pan left & handheld,c
Heat,heat.mp4,4,5,wide-ish,Shaky cam,d
Heat,heat.mp4,5,6,WS,shaky cam,e
"""


def test_kept_words_and_unknown_terms_are_counted_and_no_row_is_lost_in_silence(tmp_path: Path) -> None:
    (tmp_path / "heat.mp4").touch()
    (tmp_path / "table.csv").write_text(TABLE)
    options, defects = TableOptions(aliases=aliases_of(tmp_path, ALIASES)), list[Defect]()
    rows = read_annotations(tmp_path / "table.csv", tmp_path, defects, options)
    assert {row.shot_id: dict(row.labels) for row in rows} == {
        "a": {SIZE: "Close Up"},
        "c": {MOVE: "Pan left"},
        "e": {SIZE: "Wide"},
    }
    assert [dict(row.provenance) for row in rows] == [{f"{MOVE}_kept": "handheld"}] * 2 + [{}]
    lost = [(defect.line, defect.kind) for defect in defects if defect.loses_row]
    assert lost == [(3, DefectKind.NOT_ASKED), (5, DefectKind.BAD_ROW)]
    tally = [defect.detail for defect in defects if defect.kind is DefectKind.UNKNOWN_TERM]
    assert [line.partition(";")[0] for line in tally] == [
        "'wide-ish' in shot_size: 2",
        "'shaky cam' in camera_movement: 2",
    ]
    assert "the nearest: Wide" in tally[0]
