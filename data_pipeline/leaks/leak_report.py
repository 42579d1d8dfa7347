"""The report of a leak check: which media and questions of a set are in others, as JSON and as a section of the card.

Owns the counts and both formats. Every question of the set is counted once, either under "found in another set" or not;
in the rows of one compared set, every medium is counted once, by its most certain match.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from data_pipeline.leaks.find_leaks import CERTAINTY, Leak, Match, find_leaks
from data_pipeline.leaks.media_set import MediaSet

SECTION = "Media in other sets"  # title in the dataset card
LEAKS = "leaks.json"  # in the shard folder
LISTED = 10  # pairs of each compared set on the card, of the most certain kinds first


class LeakedMedium(NamedTuple):
    """A medium of the checked set, and one of the other set with which it matches."""

    media_path: str
    questions: tuple[str, ...]  # ids of the questions about it
    match: Match
    other_path: str
    other_question: str  # the first about it


class ComparedSet(NamedTuple):
    """What was found in one other set."""

    name: str
    manifest_sha256: str
    media: int
    not_comparable: int  # its media whose pictures cannot be compared
    leaked: tuple[LeakedMedium, ...]

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of leaked media, and of questions about them, by kind of match."""
        by_match = {match: [one for one in self.leaked if one.match is match] for match in Match}
        return {
            str(match): {"media": len(found), "questions": sum(len(one.questions) for one in found)}
            for match, found in by_match.items()
            if found
        }


@dataclass(frozen=True)
class LeakReport:
    """Result of the check of one set against others."""

    name: str
    questions: int
    media: int
    not_comparable: int  # media that cannot be decoded or show next to nothing: compared by checksum and name only
    compared: tuple[ComparedSet, ...]

    @classmethod
    def of(cls, ours: MediaSet, compared: Sequence[ComparedSet]) -> LeakReport:
        """Return the report of a set that has been compared with others."""
        return cls(ours.name, len(ours.rows), len(ours.media), _not_comparable(ours), tuple(compared))

    def reasons(self) -> dict[str, str]:
        """Why a question leaks, by its id: the most certain match and the other set's medium."""
        leaks = [(one, other.name) for other in self.compared for one in other.leaked]
        leaks.sort(key=lambda leak: -CERTAINTY[leak[0].match])
        return {
            question: f"{one.match}: {one.other_path} of {name}, question {one.other_question}"
            for one, name in leaks
            for question in one.questions
        }

    @property
    def leaked_media(self) -> int:
        """Number of media found in at least one other set."""
        return len({one.questions for other in self.compared for one in other.leaked})

    def to_json(self) -> str:
        """The content of `leaks.json`, with all pairs."""
        rows = [
            other._asdict() | {"counts": other.counts(), "leaked": [one._asdict() for one in other.leaked]}
            for other in self.compared
        ]
        return json.dumps(self.summary() | {"compared": rows}, indent=1, ensure_ascii=False) + "\n"

    def summary(self) -> dict[str, Any]:
        """The counts over all compared sets."""
        return {
            "questions": self.questions,
            "leaked_questions": len(self.reasons()),
            "media": self.media,
            "leaked_media": self.leaked_media,
            "not_comparable": self.not_comparable,
        }

    def to_markdown(self) -> str:
        """The counts as a table, and the first pairs of each compared set."""
        leaked = len(self.reasons())
        lines = [
            f"{leaked:,} of {self.questions:,} questions, on {self.leaked_media:,} of {self.media:,} media, are on "
            f"media that other sets have as well; {self.questions - leaked:,} are not. Each medium is counted under "
            f"its most certain match with a set. {self.not_comparable:,} media cannot be decoded or show next to "
            "nothing: they were compared by checksum, time and file name only.",
            "",
            "| compared with | media there | match | media here | questions here |",
            "| --- | ---: | --- | ---: | ---: |",
        ]
        for other in self.compared:
            for match, count in (other.counts() or {"none": {"media": 0, "questions": 0}}).items():
                numbers = f"{count['media']:,} | {count['questions']:,}"
                lines.append(f"| {_cell(other.name)} | {other.media:,} | {match} | {numbers} |")
        for other in self.compared:
            lines += _first_pairs(other)
        return "\n".join(lines)

    def card_section(self) -> str:
        """The section of the dataset card."""
        return f"{self.to_markdown()}\n\nAll pairs are in `{LEAKS}`."


def search_set(ours: MediaSet, other: MediaSet) -> ComparedSet:
    """Search one other set for the media of ours."""
    leaked = tuple(_leaked(ours, other, leak) for leak in find_leaks(ours, other))
    return ComparedSet(other.name, other.sha256, len(other.media), _not_comparable(other), leaked)


def _leaked(ours: MediaSet, other: MediaSet, leak: Leak) -> LeakedMedium:
    items, theirs = ours.media[leak.medium].items, other.media[leak.other].items[0]
    questions = tuple(item.item_id for item in items)
    return LeakedMedium(items[0].media_path, questions, leak.match, theirs.media_path, theirs.item_id)


def _not_comparable(media_set: MediaSet) -> int:
    return sum(not medium.hashes.probes for medium in media_set.media)


def _first_pairs(other: ComparedSet) -> list[str]:
    """Lines on the pairs that matter most: the most certain ones, and of these the media with most questions."""
    ranked = sorted(other.leaked, key=lambda one: (CERTAINTY[one.match], -len(one.questions)))[:LISTED]
    if not ranked:
        return []
    title = f"The first of {len(other.leaked):,}" if len(other.leaked) > len(ranked) else "Found"
    return ["", f"{title} in {other.name}:", ""] + [
        f"* `{one.media_path}` ({len(one.questions)} questions), {one.match}: `{one.other_path}`" for one in ranked
    ]


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
