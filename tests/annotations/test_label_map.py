"""The map from names and values of annotation tools to terms: what is a term without it, and what a map says."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from data_pipeline.annotations.frame_rate import BadRate, parse_rate
from data_pipeline.annotations.label_map import NO_MAP, BadMap, LabelMap, read_map
from data_pipeline.annotations.map_template import map_template
from data_pipeline.annotations.tools.tool_annotation import ToolAnnotation


def annotation(name: str, value: str) -> ToolAnnotation:
    return ToolAnnotation(name, value, None, ("a.mp4",), "here")


def labels(label_map: LabelMap, name: str, value: str) -> dict[str, str]:
    return {dimension.slug: str(label) for dimension, label in label_map.meaning(annotation(name, value)).labels}


def written(path: Path, text: str) -> LabelMap:
    path.write_text(text, encoding="utf-8")
    return read_map(path)


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("Shot_Size", "long shot", {"shot_size": "Wide"}),
        ("camera movement", "pan left then tilt up", {"camera_movement": "Firstly Pan left, then Tilt up"}),
        ("marker", "CU · low angle · Push in, then Pan left", None),
        ("marker", "CLOSE UP; BACKLIGHT", {"shot_size": "Close Up", "lighting_condition": "Backlight"}),
        ("marker", "CU, Low angle", {"shot_size": "Close Up", "camera_angle": "Low angle"}),
        ("label", "Medium", {}),  # a size and a lens
        ("label", "2", {}),  # the number of a shot
        ("label", "CU, nice", {}),
        ("label", "long shot", {}),  # not exactly a term
        ("shot size", "nice", {}),
        ("shot size", "", {}),
    ],
)
def test_without_a_map_exact_terms_and_those_of_the_named_dimension_count(
    name: str, value: str, meant: dict[str, str] | None
) -> None:
    if meant is None:
        meant = {
            "shot_size": "Close Up",
            "camera_angle": "Low angle",
            "camera_movement": "Firstly Push in, then Pan left",
        }
    assert labels(NO_MAP, name, value) == meant
    assert bool(meant) != bool(NO_MAP.meaning(annotation(name, value)).reason)


def test_a_map_names_dimensions_terms_and_what_to_skip(tmp_path: Path) -> None:
    label_map = written(
        tmp_path / "map.toml",
        """[names]
"Plan" = "Shot size"
"Shot" = "shots"
"Size" = ["shots", "shot size"]
"Note" = "skip"
"Later" = ""
[values."plan"]
"GP" = "Close Up"
"OTS  MCU" = ["MCU", "shot framing: Over the shoulder"]
"tbd" = "skip"
[values."*"]
"Schwenk" = "camera movement: Pan left"
""",
    )
    assert labels(label_map, "PLAN", "gp") == {"shot_size": "Close Up"}
    assert labels(label_map, "Plan", "OTS MCU") == {
        "shot_size": "Medium Close Up",
        "shot_framing": "Over the shoulder",
    }
    assert labels(label_map, "Plan", "Medium") == {"shot_size": "Medium"}
    assert labels(label_map, "Anything", "Schwenk") == {"camera_movement": "Pan left"}
    assert label_map.meaning(annotation("Shot", "12")) == ((), "", True, True)
    assert label_map.meaning(annotation("Size", "CU")).is_shot and labels(label_map, "Size", "CU")
    for name, value in (("Note", "CU"), ("Plan", "tbd")):
        meaning = label_map.meaning(annotation(name, value))
        assert meaning.is_meant and not meaning.labels and not meaning.is_shot
    assert labels(label_map, "Later", "Tilt up") == {"camera_movement": "Tilt up"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[names", "no TOML"),
        ("[terms]", "unknown table 'terms'"),
        ('[names]\n"a" = "speed"', r"\[names\] 'a' is 'speed'; write any, shots, skip, or a dimension: shot_size"),
        ('[values]\n"GP" = "Close Up"', "no table"),
        ('[values."a"]\n"GP" = "Medium"', "does not name its dimension"),
        ('[values."a"]\n"GP" = "shot size: huge"', "no term of shot_size; the nearest are"),
        ('[values."a"]\n"GP" = "speed: fast"', "does not name its dimension"),
        ('[values."a"]\n"GP" = 3', "is 3; write"),
    ],
)
def test_a_map_with_a_fault_is_refused_with_the_entry(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadMap, match=message) as refused:
        written(tmp_path / "map.toml", text)
    assert "map.toml" in str(refused.value)


def test_a_template_is_a_map_whatever_names_and_values_are(tmp_path: Path) -> None:
    odd = ['say "GP"', "back\\slash", "tab\tand\nline", "日本", "a.b", "\x7f"]
    unmapped = [(annotation(text, text), "no\nterm") for text in odd]
    template = map_template(unmapped)
    assert written(tmp_path / "map.toml", template) == NO_MAP
    filled = template.replace(' = ""  #', ' = "shot size: CU"  #')
    label_map = written(tmp_path / "map.toml", filled)
    assert all(labels(label_map, text, text) == {"shot_size": "Close Up"} for text in odd)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("24", Fraction(24)),
        ("23.976", Fraction(24000, 1001)),
        ("23,98", Fraction(24000, 1001)),
        ("30000/1001", Fraction(30000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("12.5", Fraction(25, 2)),
    ],
)
def test_a_frame_rate_is_the_exact_one_that_is_meant(text: str, rate: Fraction) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "0", "-24", "24/0", "nan", "5000"])
def test_what_is_no_frame_rate_is_refused(text: str) -> None:
    with pytest.raises(BadRate, match=r"write 24, 23\.976 or 24000/1001"):
        parse_rate(text)
