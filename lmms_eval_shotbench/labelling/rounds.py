"""Ask any model of `shotbench eval` in rounds of four options: knock-outs among the terms of each dimension.

All shots and dimensions play their next games in the same run of lmms-eval, so a model is loaded once a round, three
times for the 21 movements. A vote is the outcome of all knock-outs about one dimension of a shot; its `details` have
every game with its response.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from lmms_eval_shotbench.grading.added_tags import tags_in_use
from lmms_eval_shotbench.harness.eval_plan import EvalRequest
from lmms_eval_shotbench.labelling.ask_items import ask_items
from lmms_eval_shotbench.labelling.contest import Contest, chosen_option
from lmms_eval_shotbench.labelling.knock_out import KnockOut
from lmms_eval_shotbench.labelling.shot import FilmShot
from lmms_eval_shotbench.labelling.vote import NO_TERM, Vote, Way
from lmms_eval_shotbench.questions.shards import file_sha256
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, LIGHTING_CONDITION, LIGHTING_TYPE, Dimension, MediaKind

SEVERAL_AT_ONCE = (LIGHTING_TYPE, LIGHTING_CONDITION)  # asked for facet by facet if "none of these" is offered
NONE_OF_THESE, NO_OTHER_MOVEMENT = "None of these", "No other movement"
SECOND_QUESTION = "One camera movement in this movie shot is {first}. What other camera movement does it have?"


@dataclass(frozen=True)
class RoundSettings:
    """How many knock-outs are played, and about what."""

    repeats: int = 1  # number of knock-outs, each with draws of its own
    offer_none: bool = False  # offer "None of these" in every game
    second_movement: bool = False  # ask for another camera movement once the first is known


class RoundsAsker:
    """Asks one model for terms in rounds of four options."""

    def __init__(self, model: str, request: EvalRequest, way: Way, settings: RoundSettings | None = None) -> None:
        """Prepare the asker.

        Args:
            model: Name of the model with its revision, for the votes.
            request: Model, arguments and task group (which is the prompt style); data and output are ignored.
            way: Way.LETTER or Way.TERM. A stored response serves both.
            settings: Number and kind of knock-outs.
        """
        if way not in (Way.LETTER, Way.TERM):
            raise ValueError(f"responses in rounds are read by letter or by term, not by {way}")
        self.model, self.way = model, way
        self._request, self._settings = request, settings or RoundSettings()

    def votes(
        self, shots: Sequence[FilmShot], folder: Path, dimensions: Sequence[Dimension]
    ) -> Iterator[tuple[FilmShot, list[Vote]]]:
        """Play all rounds of all shots, then yield the shots in order.

        A question without a response gives no vote, and the remark of its shot says why.
        """
        remarks: dict[str, list[str]] = defaultdict(list)
        contests = [one for shot in shots for one in self._contests(shot, folder, dimensions, remarks)]
        self._play(contests, folder)
        if self._settings.second_movement:
            seconds = [second for one in contests if (second := self._second(one))]
            self._play(seconds, folder)
            contests += seconds
        votes: dict[str, list[Vote]] = defaultdict(list)
        for one in contests:
            if vote := one.vote(self.model, self.way):
                votes[one.shot.shot_id].append(vote)
            else:
                reason = one.unanswered or "no option could be read from the responses"
                remarks[one.shot.shot_id].append(f"{one.dimension.slug}: {reason}")
        for shot in shots:
            remark = "; ".join(filter(None, [shot.remark, *remarks[shot.shot_id]]))
            yield replace(shot, remark=remark), votes[shot.shot_id]

    def _contests(
        self, shot: FilmShot, folder: Path, dimensions: Sequence[Dimension], remarks: dict[str, list[str]]
    ) -> Iterator[Contest]:
        """The contests of a shot, one per dimension that it has a medium for."""
        for kind, medium in ((MediaKind.STILL, shot.still), (MediaKind.CLIP, shot.clip)):
            asked = [dimension for dimension in dimensions if dimension.media_kind is kind]
            if not medium or not asked:
                continue
            try:
                sha256 = file_sha256(folder / medium)
            except OSError as error:
                remarks[shot.shot_id].append(f"{medium} cannot be read: {error.strerror}")
                continue
            none = NONE_OF_THESE if self._settings.offer_none else ""
            for one in asked:
                terms = [term.name for term in one.terms]
                facets = groupby(one.terms, key=lambda term: term.facet)
                by_facet = none and one in SEVERAL_AT_ONCE
                groups = [[term.name for term in group] for _, group in facets] if by_facet else [terms]
                repeats = self._repeats(groups, f"{sha256} {one.slug}", none)
                yield Contest(shot, one, medium, sha256, one.question, terms, none, repeats)

    def _repeats(self, groups: Sequence[Sequence[str]], seed: str, none: str) -> list[list[KnockOut]]:
        numbers = range(self._settings.repeats)
        return [[KnockOut(group, f"{seed} {number}", none) for group in groups] for number in numbers]

    def _second(self, one: Contest) -> Contest | None:
        """The contest for another movement than the most likely one."""
        probabilities = one.probabilities() if one.dimension == CAMERA_MOVEMENT and not one.unanswered else None
        first = max(probabilities, key=probabilities.__getitem__) if probabilities else NO_TERM
        if first == NO_TERM:
            return None
        terms = [term for term in one.terms if term != first]
        repeats = self._repeats([terms], f"{one.sha256} besides {first}", NO_OTHER_MOVEMENT)
        question = SECOND_QUESTION.format(first=first)
        return replace(
            one, question=question, terms=terms, none=NO_OTHER_MOVEMENT, repeats=repeats, first=first, games=[]
        )

    def _play(self, contests: Sequence[Contest], folder: Path) -> None:
        """Play rounds until all knock-outs are over."""
        while open_games := [(one, *opened) for one in contests for opened in one.open_games()]:
            shown = [(one, options) for one, _, games in open_games for options in games]
            items = [one.item(options, index) for index, (one, options) in enumerate(shown)]
            answered = iter(zip(items, ask_items(items, self._request, folder), strict=True))
            for one, knock_out, games in open_games:
                winners = []
                for item, response in (next(answered) for _ in games):
                    one.unanswered = one.unanswered or response.unanswered
                    won = None if response.unanswered else chosen_option(item, response.text, self.way, tags_in_use())
                    winners.append(won)
                    one.games.append({"options": list(item.options), "response": response.text, "won": won})
                knock_out.settle(winners)
