"""The tables of the published sets: every term exists, every name is unique, and every set can be chosen."""

from __future__ import annotations

from typing import get_args

import pytest

from data_pipeline.commands.import_dataset import SetName
from data_pipeline.releases.import_published_set import READERS
from data_pipeline.releases.published_sets.class_table import published_set
from lmms_eval_shotbench.vocabulary import normal_form


def test_the_command_offers_all_sets() -> None:
    assert set(get_args(SetName)) == set(READERS)


@pytest.mark.parametrize("name", READERS)
def test_a_table_names_each_class_once_and_terms_of_the_vocabulary(name: str) -> None:
    published = published_set(name)  # raises on an unknown term
    assert all((published.title, published.licence, published.what, published.provenance, published.media))
    for group in published.groups:
        spellings = [normal_form(text) for one in group.classes for text in {one.name, *one.spellings}]
        assert len(spellings) == len(set(spellings))
        assert any(one.term for one in group.classes) == (group.dimension is not None)
