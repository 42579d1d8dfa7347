"""Ask any model of `shotbench eval` in rounds of four options: knock-outs among the terms of each dimension.

All shots and dimensions play their next games in the same run of lmms-eval, so a model is loaded once a round, three
times for the 21 movements. A vote is the outcome of one contest (`contest.py`); its `details` have every game with its
response.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from lmms_eval_shotbench.grading.added_tags import tags_in_use
from lmms_eval_shotbench.harness.eval_plan import EvalRequest
from lmms_eval_shotbench.labelling.asking.ask_items import ask_items
from lmms_eval_shotbench.labelling.asking.contest import Contest, chosen_option
from lmms_eval_shotbench.labelling.asking.knock_out import KnockOut
from lmms_eval_shotbench.labelling.asking.model_name import model_name
from lmms_eval_shotbench.labelling.shot import FilmShot
from lmms_eval_shotbench.labelling.vote import NO_TERM, Vote, Way
from lmms_eval_shotbench.questions.shards import file_sha256
from lmms_eval_shotbench.vocabulary import (
    CAMERA_MOVEMENT,
    SEVERAL_TERMS,
    Dimension,
    MediaKind,
    slugs,
)

NONE_OF_THESE, NO_OTHER_MOVEMENT = "None of these", "No other movement"
SECOND_QUESTION = "One camera movement in this movie shot is {first}. What other camera movement does it have?"
Remarks = dict[str, dict[str, list[str]]]  # slugs of dimensions without a vote, by shot and reason


@dataclass(frozen=True)
class RoundSettings:
    """How many knock-outs are played, and about what."""

    repeats: int = 2  # contests about each dimension of a shot, with draws of their own; one never disagrees
    offer_none: bool = False  # offer "None of these" in every game
    second_movement: bool = False  # ask for another camera movement once the first is known

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ValueError(f"{self.repeats} contests about each dimension of a shot: give 1 or more")


class RoundsAsker:
    """Asks one model for terms in rounds of four options."""

    def __init__(self, request: EvalRequest, way: Way, settings: RoundSettings | None = None) -> None:
        """Prepare the asker.

        Args:
            request: Model, arguments and task group (which is the prompt style); data and output are ignored.
            way: Way.LETTER or Way.TERM. A stored response serves both.
            settings: Number and kind of knock-outs.
        """
        if way not in (Way.LETTER, Way.TERM):
            raise ValueError(f"responses in rounds are read by letter or by term, not by {way}")
        self.way = way
        self._request, self._settings = request, settings or RoundSettings()

    @property
    def model(self) -> str:
        """Name of the model with its revision, which is known once the model was loaded."""
        return model_name(self._request)

    def votes(
        self, shots: Sequence[FilmShot], folder: Path, dimensions: Sequence[Dimension]
    ) -> Iterator[tuple[FilmShot, list[Vote]]]:
        """Play all rounds of all shots, then yield the shots in order.

        A question without a response gives no vote, and the remark of its shot says why.
        """
        remarks: Remarks = defaultdict(lambda: defaultdict(list))
        contests = [one for shot in shots for one in self._contests(shot, folder, dimensions, remarks)]
        self._play(contests, folder)
        if self._settings.second_movement:
            movements = [one for one in contests if one.dimension == CAMERA_MOVEMENT]
            seconds = list(self._second_contests(movements))
            self._play(seconds, folder)
            contests += seconds
        votes: dict[str, list[Vote]] = defaultdict(list)
        model = self.model
        for one in contests:
            if vote := one.vote(model, self.way):
                votes[one.shot.shot_id].append(vote)
            else:
                reason = one.unanswered or "no option could be read from the responses"
                remarks[one.shot.shot_id][reason].append(one.dimension.slug)
        for shot in shots:
            found = (f"{', '.join(dict.fromkeys(names))}: {reason}" for reason, names in remarks[shot.shot_id].items())
            new = [remark for remark in found if remark not in shot.remark]
            yield replace(shot, remark="; ".join(filter(None, [shot.remark, *new]))), votes[shot.shot_id]

    def _contests(
        self, shot: FilmShot, folder: Path, dimensions: Sequence[Dimension], remarks: Remarks
    ) -> Iterator[Contest]:
        """The contests of a shot, one per dimension that it has a medium for."""
        for kind, medium in ((MediaKind.STILL, shot.still), (MediaKind.CLIP, shot.clip)):
            asked = [dimension for dimension in dimensions if dimension.media_kind is kind]
            if not medium or not asked:
                continue
            try:
                sha256 = file_sha256(folder / medium)
            except OSError as error:
                remarks[shot.shot_id][f"{medium} cannot be read: {error.strerror}"] += slugs(asked)
                continue
            none = NONE_OF_THESE if self._settings.offer_none else ""
            for one in asked:
                contest = Contest(shot, one, medium, sha256, one.question, [term.name for term in one.terms], none, ())
                facets = groupby(one.terms, key=lambda term: term.facet)
                by_facet = none and one in SEVERAL_TERMS
                groups = [[term.name for term in group] for _, group in facets] if by_facet else [contest.terms]
                yield from self._repeats(contest, groups)

    def _repeats(self, one: Contest, groups: Sequence[Sequence[str]]) -> Iterator[Contest]:
        """The contest as often as it is repeated, each with a knock-out per group of terms."""
        for number in range(self._settings.repeats):
            seed = f"{one.sha256} {one.question} {number}"
            knock_outs = [KnockOut(group, seed, one.none) for group in groups]
            yield replace(one, knock_outs=knock_outs, repeats=self._settings.repeats, games=[])

    def _second_contests(self, firsts: Sequence[Contest]) -> Iterator[Contest]:
        """Contests for another movement than the one that won most of the first contests about a shot."""
        for _, repeats in groupby(firsts, key=lambda one: one.shot.shot_id):
            decided = [(one, found) for one in repeats if (found := one.probabilities())]
            total = Counter[str]()
            for _, found in decided:
                total.update(found)
            first = max(total, key=total.__getitem__, default=NO_TERM)
            if first != NO_TERM:
                one = decided[0][0]
                terms = [term for term in one.terms if term != first]
                question = SECOND_QUESTION.format(first=first)
                second = replace(one, question=question, terms=terms, none=NO_OTHER_MOVEMENT, first=first)
                yield from self._repeats(second, [terms])

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
