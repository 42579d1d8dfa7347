"""The knowledge table: it covers exactly the vocabulary, no entry is empty, and errors in it name the term."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from data_pipeline.questions.knowledge import TABLE, BadKnowledge, TermKnowledge, knowledge_of, read_knowledge
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, DIMENSIONS, SHOT_SIZE, Dimension, Term, normal_form

TEXT = (resources.files("data_pipeline.questions") / TABLE).read_text(encoding="utf-8")
ALL = [
    pytest.param(dimension, term, id=f"{dimension.abbreviation}-{term.name}")
    for dimension in DIMENSIONS
    for term in dimension.terms
]


def test_the_table_covers_exactly_the_vocabulary() -> None:
    terms = {(dimension.slug, term.name) for dimension in DIMENSIONS for term in dimension.terms}
    assert set(read_knowledge(TEXT)) == terms


@pytest.mark.parametrize(("dimension", "term"), ALL)
def test_every_term_has_sentences_and_a_term_it_is_distinguished_from(dimension: Dimension, term: Term) -> None:
    known = knowledge_of(dimension, term)
    assert known.apart
    for text in (known.meaning, known.recognise, *known.apart.values()):
        assert len(text.split()) >= 5 and len(text) < 400, text
        assert text[0].isupper() and text[-1] == ".", text
        assert "  " not in text and "\n" not in text


def test_no_sentence_on_how_to_recognise_a_term_serves_two_terms() -> None:
    known = [knowledge_of(dimension, term) for dimension in DIMENSIONS for term in dimension.terms]
    for field in ("meaning", "recognise"):
        texts = [getattr(one, field) for one in known]
        assert len(set(texts)) == len(texts)


def test_abbreviations_are_short_differ_and_agree_with_the_vocabulary() -> None:
    for dimension in DIMENSIONS:
        given = [one for term in dimension.terms if (one := knowledge_of(dimension, term)).abbreviation]
        assert len({one.abbreviation for one in given}) == len(given)
        for one in given:
            assert re.fullmatch("[A-Z0-9]{2,3}", one.abbreviation)
            known = {normal_form(alias) for term in dimension.terms for alias in term.aliases}
            if normal_form(one.abbreviation) in known:
                assert dimension.term(one.abbreviation).name == one.name


def test_opposite_movements_shift_the_image_in_opposite_directions() -> None:
    """A camera that pans or moves one way shifts the image the other way, which is easily written wrong."""
    slides = {"left": "right", "right": "left", "up": "down", "down": "up"}
    checked = 0
    for term in CAMERA_MOVEMENT.terms:
        if term.facet not in ("yaw", "pitch", "lateral"):
            continue
        way = term.name.split()[-1]
        found = re.search(
            r"picture slides (?:to the )?(left|right|up|down)", knowledge_of(CAMERA_MOVEMENT, term).recognise
        )
        assert found and found[1] == slides[way], term
        checked += 1
    assert checked == 6


def test_a_note_names_only_confusions_with_the_offered_terms() -> None:
    known = TermKnowledge("Near", "NR", "It is close.", "It is large.", {"Far": "Far is small.", "Mid": "Mid is not."})
    assert known.note() == "Near (NR): It is close. To recognise it: It is large."
    assert known.note(["Far", "Near"]).endswith("It is large. Against Far: Far is small.")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text.replace('[shot_size."Medium"]', '[shot_size."Middling"]'),
            "no entry for shot_size / Medium",
        ),
        (lambda text: text + '[shot_size."Huge"]\nmeaning = "x"\n', "shot_size / Huge, which is not a term"),
        (lambda text: re.sub('meaning = "[^"]*"', 'meaning = " "', text, count=1), "meaning is empty"),
        (lambda text: text.replace("meaning =", "sense =", 1), "needs abbreviation, meaning"),
        (lambda text: text.replace('apart."Medium Wide"', 'apart."Zoom in"', 1), "apart names 'Zoom in'"),
    ],
)
def test_a_broken_table_is_refused_with_the_term_at_fault(change: object, message: str) -> None:
    assert callable(change)
    with pytest.raises(BadKnowledge, match=message):
        read_knowledge(change(TEXT))


def test_a_term_of_another_dimension_is_unknown() -> None:
    with pytest.raises(KeyError):
        knowledge_of(SHOT_SIZE, CAMERA_MOVEMENT.terms[0])
