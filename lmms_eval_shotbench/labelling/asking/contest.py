"""A contest of the terms of one dimension of a shot: the questions of its games, and the vote that it ends with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmms_eval_shotbench.grading.grade import grade
from lmms_eval_shotbench.grading.strict import extract_conclusion
from lmms_eval_shotbench.grading.thoughts import ReasoningTags
from lmms_eval_shotbench.labelling.asking.knock_out import KnockOut
from lmms_eval_shotbench.labelling.shot import FilmShot
from lmms_eval_shotbench.labelling.vote import NO_TERM, Vote, Way
from lmms_eval_shotbench.prompts import user_text
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import Dimension, View

PRIOR = 0.5  # weight, in knock-outs, of the uniform distribution mixed into the shares (Krichevsky and Trofimov 1981)


@dataclass
class Contest:
    """A question about a medium, and the knock-outs that answer it: one over all terms, or one per facet."""

    shot: FilmShot
    dimension: Dimension
    medium: str  # path relative to the folder of the labels
    sha256: str  # of the medium
    question: str
    terms: Sequence[str]
    none: str  # text of the option "none of these"; "" if it is not offered
    knock_outs: Sequence[KnockOut]
    repeats: int = 1  # number of contests with this question, each with draws of its own
    first: str = ""  # the known movement, if this asks for a second one
    games: list[dict[str, Any]] = field(default_factory=list)  # options, response and winner of each
    unanswered: str = ""  # why a question has no response, and therefore this contest no vote

    def open_games(self) -> Iterator[tuple[KnockOut, list[tuple[str, ...]]]]:
        """The knock-outs that are not over, with the options of their next games."""
        for knock_out in self.knock_outs:
            if not self.unanswered and (games := knock_out.games()):
                yield knock_out, games

    def item(self, options: Sequence[str], index: int = 0) -> QAItem:
        """The question of a game. Its correct answer is unknown: "A" fills the field and is not used."""
        return QAItem(
            item_id=f"{self.shot.shot_id}-{self.dimension.slug}-{index}",
            dimension=self.dimension.slug,
            question=self.question,
            options=tuple(options),
            answer="A",
            media_kind=self.dimension.media_kind,
            media_path=self.medium,
            source="label",
            source_index=index,
            media_sha256=self.sha256,
            film_id=self.shot.film_id,
        )

    def probabilities(self) -> dict[str, float] | None:
        """Of the terms, and of `NO_TERM` if it was offered; None if a question is unanswered or no game was decided.

        The mean of all repeats is the share of contests that a term has won, mixed with a uniform distribution of the
        weight `PRIOR`.
        """
        decided = [shares for one in self.knock_outs if (shares := one.shares()) is not None]
        if self.unanswered or not decided:
            return None
        won = dict(winner for shares in decided for winner in shares.items()) or {NO_TERM: 1.0}
        names = [*self.terms, NO_TERM] if self.none else self.terms
        share = {name: won.get(name, 0.0) / sum(won.values()) for name in names}
        return {name: (self.repeats * share[name] + PRIOR / len(names)) / (self.repeats + PRIOR) for name in names}

    def vote(self, model: str, way: Way) -> Vote | None:
        """The vote; None if there are no probabilities."""
        probabilities = self.probabilities()
        if probabilities is None:
            return None
        last = self.games[-1]
        return Vote(
            dimension=self.dimension.slug,
            model=model,
            way=way,
            medium=self.medium,
            view=View.AS_FILMED,
            probabilities=probabilities,
            question=user_text(self.item(last["options"])),
            options=tuple(last["options"]),
            response=last["response"],
            second=bool(self.first),
            details={"question": self.question, "games": self.games} | ({"first": self.first} if self.first else {}),
        )


def chosen_option(item: QAItem, response: str, way: Way, tags: ReasoningTags) -> str | None:
    """The option that a response chooses, or None.

    By letter, it is that of the graded answer. By term, it is the option whose text the thought concludes with,
    whatever letter is beside it; without such a conclusion, that of the graded answer.
    """
    graded = grade(item, response, tags=tags)
    concluded = extract_conclusion(item, graded.thought, letters=False).letter if way is Way.TERM else None
    letter = concluded or graded.letter
    return item.choices[letter] if letter else None
