"""Model arguments as text: split as by lmms-eval, with values kept unchanged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmms_eval_shotbench.model_args import format_model_args, parse_model_args, split_model_args


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", {}),
        ("pretrained=/models/tiny,device=cpu", {"pretrained": "/models/tiny", "device": "cpu"}),
        ("url=http://host/v1?a=b,fps=12", {"url": "http://host/v1?a=b", "fps": "12"}),
        ('hints={"a": [1, 2], "fps": 3},fps=12', {"hints": '{"a": [1, 2], "fps": 3}', "fps": "12"}),
        ("system='Look, then answer',fps=08", {"system": "'Look, then answer'", "fps": "08"}),
        (r"text='it\'s, so',blank=True", {"text": r"'it\'s, so'", "blank": "True"}),
        ("fps=1, fps=2 ,,", {"fps": "2"}),
        ("a flag,fps=2", {"fps": "2"}),
    ],
)
def test_a_text_is_parsed(text: str, arguments: dict[str, str]) -> None:
    assert parse_model_args(text) == arguments


def test_arguments_are_appended_to_those_given() -> None:
    assert format_model_args({}) == ""
    assert format_model_args({"fps": 12.0, "blank": True}) == "fps=12.0,blank=True"
    assert format_model_args({"fps": "12"}, "fps=2,device=cpu") == "fps=2,device=cpu,fps=12"
    assert format_model_args({}, "device=cpu") == "device=cpu"


@pytest.mark.host
@given(st.lists(st.text(alphabet="ab=,'\"{}[]\\ 1")))
def test_lmms_eval_parses_the_same_arguments(values: list[str]) -> None:
    from lmms_eval.utils import handle_arg_string, simple_parse_args_string

    text = ",".join(f"name{number}={value}" for number, value in enumerate(values))
    if all("=" in part for part in split_model_args(text)):
        typed = {name: handle_arg_string(value) for name, value in parse_model_args(text).items()}
        assert typed == simple_parse_args_string(text)
    else:
        with pytest.raises(ValueError, match="not enough values"):
            simple_parse_args_string(text)
