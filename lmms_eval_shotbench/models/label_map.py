"""Which terms the classes of a checkpoint stand for: the file that `--model image_classifier` reads as `labels`.

    [shot_size]                            # slug of a dimension
    "CS" = "Close Up"                      # class of the checkpoint = a term in any of its spellings
    "MS" = ["Medium", "Medium Wide"]       # a class that does not distinguish several terms
    "other" = []                           # a class that stands for no term

Several classes may stand for one term. The options of a question are compared in `classifier_answers.py`.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lmms_eval_shotbench.harness.recorder import RunStopped
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, UnknownDimension, UnknownTerm, dimension_named

MOST_SHOWN = 40  # classes in a message; ImageNet has 1,000


class BadLabelMap(RunStopped, ValueError):
    """A file of labels that cannot be used with the checkpoint; the message states every defect."""


@dataclass(frozen=True)
class ClassMap:
    """Terms of each class, by slug of the dimension and name of the class."""

    classes: Sequence[str]  # all of the checkpoint, by index
    terms: Mapping[str, Mapping[str, tuple[str, ...]]]

    @cached_property
    def classes_of_terms(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """Indices of the classes that stand for each term, by slug and name of the term; ascending."""
        return {
            slug: {
                term: tuple(index for index, name in enumerate(self.classes) if term in terms.get(name, ()))
                for term in {term for named in terms.values() for term in named}
            }
            for slug, terms in self.terms.items()
        }

    @property
    def unmapped(self) -> list[str]:
        """Classes that the file does not mention."""
        mentioned = {name for terms in self.terms.values() for name in terms}
        return [name for name in self.classes if name not in mentioned]


def read_label_map(path: Path, classes: Sequence[str] | None = None) -> ClassMap:
    """Read the file of labels of a checkpoint.

    Args:
        path: The file, TOML as in the docstring of this module.
        classes: Names of the checkpoint's classes, by index; without them, all names in the file are classes.

    Raises:
        BadLabelMap: The file is missing or not of this form, or it names a dimension or term that ShotBench does not
            have, or a class that the checkpoint does not have or has twice.
    """
    if not path.is_file():
        start = f". To begin with, all classes:\n\n{label_map_skeleton(classes)}" if classes else ""
        raise BadLabelMap(f"the file of labels {path} does not exist{start}")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # tomllib's error is a ValueError
        raise BadLabelMap(f"the file of labels {path} cannot be read: {error}") from None
    if classes is None:
        classes = list(dict.fromkeys(name for table in tables.values() if isinstance(table, dict) for name in table))
    terms: dict[str, dict[str, tuple[str, ...]]] = {}
    defects = []
    for slug, table in tables.items():
        try:
            dimension = dimension_named(slug)
        except UnknownDimension as error:
            defects.append(f"[{slug}]: {error}")
            continue
        if not isinstance(table, dict):
            defects.append(f"{slug} is not a table: write [{slug}], then a line for each class")
            continue
        found, wrong = _terms_of_classes(dimension, table, Counter(classes))
        terms[dimension.slug] = found
        defects += [f"[{slug}] {defect}" for defect in wrong]
    if not defects and not any(named for table in terms.values() for named in table.values()):
        defects = ["no class stands for any term"]
    if defects:
        raise BadLabelMap(f"the file of labels {path}: {'; '.join(defects)}")
    return ClassMap(classes, terms)


def _terms_of_classes(
    dimension: Dimension, table: Mapping[str, object], classes: Counter[str]
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the names of the terms of each class, and the defects of a table."""
    found: dict[str, tuple[str, ...]] = {}
    defects = []
    for name, value in table.items():
        named = [value] if isinstance(value, str) else value
        if not (isinstance(named, list) and all(isinstance(one, str) for one in named)):
            defects.append(f"{name!r} is {value!r}, expected a term or a list of terms")
            continue
        if classes[name] != 1:
            near = difflib.get_close_matches(name, classes, n=1)
            hint = f"; is it {near[0]!r}?" if near else f"; its classes: {_first(list(classes))}"
            times = "several classes" if classes[name] else "no class"
            defects.append(f"the checkpoint has {times} {name!r}{hint if not classes[name] else ''}")
        try:
            found[name] = tuple(dict.fromkeys(dimension.term(one).name for one in named))
        except UnknownTerm as error:
            defects.append(f"{name!r}: {error}")
    return found, defects


def label_map_skeleton(classes: Sequence[str]) -> str:
    """Return a file of labels to complete: a table for each dimension that has a term named as one of the classes."""
    guesses = {dimension.slug: dict(_guesses(dimension, classes)) for dimension in DIMENSIONS}
    likely = [slug for slug, guess in guesses.items() if guess] or ["DIMENSION"]
    lines = []
    for slug in likely:
        lines.append(f"[{slug}]")
        for name in classes[:MOST_SHOWN]:
            lines.append(f"{json.dumps(name)} = {json.dumps(guesses.get(slug, {}).get(name, []))}")
        if len(classes) > MOST_SHOWN:
            lines.append(f"# and {len(classes) - MOST_SHOWN:,} more classes")
        lines.append("")
    return "\n".join(lines)


def _guesses(dimension: Dimension, classes: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in classes:
        try:
            yield name, dimension.term(name.replace("_", " ")).name
        except UnknownTerm:
            continue


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_SHOWN:,} more" if len(names) > MOST_SHOWN else ""
    return ", ".join(map(repr, names[:MOST_SHOWN])) + more


def unmapped_warning(labels: ClassMap) -> str:
    """Return a warning of the classes that the file does not mention, or ""."""
    if not labels.unmapped:
        return ""
    return (
        f"{len(labels.unmapped):,} of {len(labels.classes):,} classes of the checkpoint are not in the file of labels "
        f"and count for no option: {_first(labels.unmapped)}"
    )
