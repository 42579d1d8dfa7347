"""Votes by term probability: complete, mapped back to the shot as filmed, resumed, and none for a broken medium."""

from __future__ import annotations

import io
import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.host
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from PIL import Image, ImageOps

from lmms_eval_shotbench.labelling.asking import term_probabilities
from lmms_eval_shotbench.labelling.asking.naming import Normalization
from lmms_eval_shotbench.labelling.asking.shot_views import VIEWS
from lmms_eval_shotbench.labelling.asking.term_probabilities import ProbabilityAsker
from lmms_eval_shotbench.labelling.asking.vote_store import STORED, VoteStore
from lmms_eval_shotbench.labelling.deciding.decide import best_guess
from lmms_eval_shotbench.labelling.deciding.pooled_votes import pool
from lmms_eval_shotbench.labelling.shot import FilmShot
from lmms_eval_shotbench.labelling.vote import NO_TERM, Vote
from lmms_eval_shotbench.models.shotvl_settings import BadModelArgs
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.qwen.checkpoint import Checkpoint, load_checkpoint
from lmms_eval_shotbench.qwen.inputs import MediaLimits
from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from lmms_eval_shotbench.vocabulary import (
    CAMERA_MOVEMENT,
    COMPOSITION,
    DIMENSIONS,
    MediaKind,
    dimension_named,
)
from tests.support.drawn_shots import draw
from tests.support.rendered_clips import Rendering, render

LIMITS = MediaLimits(still_min=3136, still_max=30_000, clip_min=784, clip_max=8_000)
Answer = list[tuple[FilmShot, list[Vote]]]


@pytest.fixture(scope="module")
def checkpoint(tiny_model_unconstrained: Path) -> Checkpoint:
    return load_checkpoint(str(tiny_model_unconstrained), device=torch.device("cpu"))


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six shots with a still and a clip of different lengths each."""
    folder = tmp_path_factory.mktemp("labels")
    (folder / "media").mkdir()
    for number in range(6):
        (folder / f"media/{number}.jpg").write_bytes(draw(number))
        (folder / f"media/{number}.mp4").write_bytes(render(Rendering(frames=8 + 2 * number)))
    return folder


def shots(count: int = 6) -> list[FilmShot]:
    return [
        FilmShot(f"film-{n}", "film", n + 1, f"media/{n}.jpg", f"media/{n}.mp4", remark="dark" if n == 2 else "")
        for n in range(count)
    ]


def asker(checkpoint: Checkpoint, **settings: Any) -> ProbabilityAsker:
    return ProbabilityAsker(checkpoint, LIMITS, name="tiny", **{"batch_tokens": 4096, "workers": 1} | settings)


def asked(checkpoint: Checkpoint, folder: Path, some: Sequence[FilmShot], **settings: Any) -> Answer:
    return list(asker(checkpoint, **settings).votes(some, folder, DIMENSIONS))


@pytest.fixture(scope="module")
def uninterrupted(checkpoint: Checkpoint, labels: Path) -> Answer:
    return asked(checkpoint, labels, shots())


def copy_of(labels: Path, tmp_path: Path) -> Path:
    """A folder with the media of `labels`, without what is stored."""
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "media").symlink_to(labels / "media")
    return tmp_path


# ---------------------------------------------------------------------------------------------------- what is voted


def test_every_dimension_has_a_vote_per_view(uninterrupted: Answer) -> None:
    assert [shot for shot, _ in uninterrupted] == shots()
    for shot, votes in uninterrupted:
        expected = Counter({one.slug: len(VIEWS[one.media_kind]) for one in DIMENSIONS})
        assert Counter(vote.dimension for vote in votes) == expected
        assert len({(vote.dimension, vote.view) for vote in votes}) == len(votes)
        for vote in votes:
            dimension = dimension_named(vote.dimension)
            assert set(vote.probabilities) == {term.name for term in dimension.terms}
            assert math.isclose(sum(vote.probabilities.values()), 1)
            assert vote.medium == (shot.clip if dimension.media_kind is MediaKind.CLIP else shot.still)
            assert vote.question == f"Question: {dimension.question}"
            assert vote.model.startswith("tiny@")


def test_only_requested_dimensions_are_asked(checkpoint: Checkpoint, labels: Path) -> None:
    votes = list(asker(checkpoint).votes(shots(2), labels, [COMPOSITION]))
    assert {vote.dimension for _, some in votes for vote in some} == {COMPOSITION.slug}


def test_a_mirrored_still_says_of_its_mirror_image_what_that_says_itself(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """The picture has the model's own size, so nothing is lost by scaling."""
    picture = Image.open(io.BytesIO(draw(1, (112, 56))))
    picture.save(tmp_path / "0.png")
    ImageOps.mirror(picture).save(tmp_path / "1.png")
    some = [FilmShot(f"film-{n}", "film", n + 1, f"{n}.png") for n in range(2)]
    (_, first), (_, second) = asker(checkpoint).votes(some, tmp_path, [COMPOSITION])
    by_view = [{vote.view: vote.probabilities for vote in votes} for votes in (first, second)]
    as_filmed, mirrored = by_view[0]["as filmed"], by_view[1]["mirrored"]
    assert mirrored["Left heavy"] == pytest.approx(as_filmed["Right heavy"], abs=1e-5)
    assert mirrored["Right heavy"] == pytest.approx(as_filmed["Left heavy"], abs=1e-5)
    assert mirrored["Center"] == pytest.approx(as_filmed["Center"], abs=1e-5)
    assert by_view[0]["mirrored"] != pytest.approx(as_filmed, abs=1e-3)


def test_a_checkpoint_that_was_taught_to_name_nothing_is_asked_for_it(
    checkpoint: Checkpoint, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint.model.config, "shotbench", {"no_term": "none"}, raising=False)
    (_, votes), *_ = asked(checkpoint, labels, shots(1))
    assert all(NO_TERM in vote.probabilities for vote in votes)


def test_a_normalization_asks_nothing_again_but_the_prior(
    checkpoint: Checkpoint, labels: Path, uninterrupted: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    plain = Checkpoint.log_probabilities
    monkeypatch.setattr(
        Checkpoint, "log_probabilities", lambda self, media, *rest: rows.append(len(media)) or plain(self, media, *rest)
    )
    corrected = asked(checkpoint, labels, shots(), normalization=Normalization(1.0, 0.5))
    assert rows == [1, 1], "a grey still and a grey clip"
    vote, before = corrected[0][1][0], uninterrupted[0][1][0]
    assert vote.probabilities != before.probabilities
    assert vote.details["log_probabilities"] == before.details["log_probabilities"]
    assert (vote.details["length_exponent"], vote.details["prior_weight"]) == (1.0, 0.5)


# ---------------------------------------------------------------------------------------------- resume and failures


@pytest.mark.slow
def test_an_interrupted_run_resumes_and_ends_with_the_same_votes(
    checkpoint: Checkpoint, labels: Path, uninterrupted: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after each batch in turn, and the last line that was written is torn."""
    folder = copy_of(labels, tmp_path)
    keep, rows = VoteStore.keep, list[int]()

    def keep_and_stop(self: VoteStore, found: Any) -> None:
        keep(self, found)
        raise KeyboardInterrupt

    plain = Checkpoint.log_probabilities
    monkeypatch.setattr(
        Checkpoint, "log_probabilities", lambda self, media, *rest: rows.append(len(media)) or plain(self, media, *rest)
    )
    stops = 0
    while True:
        with monkeypatch.context() as patch:
            patch.setattr(VoteStore, "keep", keep_and_stop)
            try:
                resumed = asked(checkpoint, folder, shots(), batch_tokens=700)
                break
            except KeyboardInterrupt:
                stops += 1
        if stops == 2:
            stored = folder / STORED
            stored.write_bytes(stored.read_bytes()[:-20])
    assert stops > 3
    total = sum(len(VIEWS[kind]) for kind in MediaKind) * 6
    torn_batch = rows[1]
    assert sum(rows) == total + torn_batch, "only the batch of the torn line is asked again"
    assert resumed == asked(checkpoint, copy_of(labels, tmp_path / "whole"), shots(), batch_tokens=700)
    for (_, one), (_, other) in zip(resumed, uninterrupted, strict=True):
        for vote, same in zip(one, other, strict=True):
            assert vote.probabilities == pytest.approx(same.probabilities, abs=1e-4), "batches change rounding only"


def test_shots_beyond_a_window_are_asked_in_order(
    checkpoint: Checkpoint, labels: Path, uninterrupted: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(term_probabilities, "WINDOW", 2)
    found = asked(checkpoint, copy_of(labels, tmp_path), shots())
    assert [shot for shot, _ in found] == [shot for shot, _ in uninterrupted]
    assert [len(votes) for _, votes in found] == [len(votes) for _, votes in uninterrupted]


def test_a_medium_that_cannot_be_read_costs_its_own_votes_only(
    checkpoint: Checkpoint, labels: Path, uninterrupted: Answer, tmp_path: Path
) -> None:
    for path in (labels / "media").iterdir():
        (tmp_path / "media").mkdir(exist_ok=True)
        (tmp_path / "media" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "media/0.jpg").write_bytes(b"no picture")
    (tmp_path / "media/1.jpg").write_bytes((labels / "media/1.jpg").read_bytes()[:400])
    (tmp_path / "media/2.mp4").write_bytes((labels / "media/2.mp4").read_bytes()[:-600])
    (tmp_path / "media/3.mp4").unlink()
    found = asked(checkpoint, tmp_path, [*shots(5), replace(shots()[5], clip="")])
    remarks = [shot.remark for shot, _ in found]
    assert remarks[0].startswith("not asked about its still: still cannot be decoded")
    assert remarks[1].startswith("not asked about its still: still cannot be decoded")
    assert remarks[2].startswith("dark; not asked about its clip: clip ")
    assert remarks[3].startswith("not asked about its clip: ")
    assert "No such file" in remarks[3]
    assert remarks[4:] == ["", ""]
    kinds = [{dimension_named(vote.dimension).media_kind for vote in votes} for _, votes in found]
    assert kinds == [
        {MediaKind.CLIP},
        {MediaKind.CLIP},
        {MediaKind.STILL},
        {MediaKind.STILL},
        set(MediaKind),
        {MediaKind.STILL},
    ]
    for vote, same in zip(found[4][1], uninterrupted[4][1], strict=True):
        assert vote.probabilities == pytest.approx(same.probabilities, abs=1e-4)


@pytest.mark.slow
def test_batches_are_halved_when_memory_runs_out(
    checkpoint: Checkpoint,
    labels: Path,
    uninterrupted: Answer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain = Checkpoint.log_probabilities

    def short_of_memory(self: Checkpoint, media: Sequence[Any], *rest: Any) -> Any:
        if len(media) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return plain(self, media, *rest)

    monkeypatch.setattr(Checkpoint, "log_probabilities", short_of_memory)
    with caplog.at_level(logging.WARNING):
        found = asked(checkpoint, copy_of(labels, tmp_path), shots())
    assert "batches are halved" in caplog.text
    for (_, one), (_, other) in zip(found, uninterrupted, strict=True):
        assert [vote.view for vote in one] == [vote.view for vote in other]
        assert all(
            vote.probabilities == pytest.approx(same.probabilities, abs=1e-4)
            for vote, same in zip(one, other, strict=True)
        )


# -------------------------------------------------------------------------------------------------- model arguments


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("frames=12", "shotvl has no argument frames; it has .*fps"),
        ("workers=many", "workers are whole numbers"),
        ("fps=fast", "fps is a number"),
        ("attn_implementation=flash_attention_2", "use sdpa, or leave it out"),
    ],
)
def test_model_arguments_that_cannot_be_used_are_named(given: str, words: str) -> None:
    with pytest.raises(BadModelArgs, match=words):
        ProbabilityAsker.from_model_args(f"pretrained={TINY_SHOTVL},{given}")


@pytest.mark.slow
def test_the_packaged_model_names_what_it_sees(studio_shards: Path, tmp_path: Path) -> None:
    """Unseen film, all terms of a dimension, chance 14 %; on grey pictures, and without its naming gap, it does not."""
    shards = ShardFolder(studio_shards)
    items = [item for item in shards.items() if not dimension_named(item.dimension).parse(item.gold).is_compound]
    some = []
    for number, item in enumerate(items):
        is_clip = item.media_kind is MediaKind.CLIP
        path = f"{number}.{'mp4' if is_clip else 'png'}"
        (tmp_path / path).write_bytes(shards.media(item.item_id))
        some.append(FilmShot(str(number), "film", number + 1, "" if is_clip else path, path if is_clip else ""))

    def accuracy(asking: ProbabilityAsker) -> float:
        right: dict[str, list[bool]] = {one.slug: [] for one in DIMENSIONS}
        for item, (_, votes) in zip(items, asking.votes(some, tmp_path, DIMENSIONS), strict=True):
            dimension = dimension_named(item.dimension)
            asked = [vote for vote in votes if vote.dimension == item.dimension]
            named = best_guess(dimension, pool(dimension, asked), None).terms  # of light several at once
            right[item.dimension].append(item.gold in named)
        return sum(sum(one) / len(one) for one in right.values()) / len(right)

    arguments = f"pretrained={TINY_SHOTVL},device=cpu,workers=1"
    model = ProbabilityAsker.from_model_args(arguments)
    assert accuracy(model) > 0.75
    assert accuracy(ProbabilityAsker.from_model_args(f"{arguments},blank=True")) < 0.25
    model._rule = replace(model._rule, gap=0)
    assert accuracy(model) < 0.65


def test_movements_are_asked_of_clips_alone(checkpoint: Checkpoint, labels: Path) -> None:
    stills = [replace(shot, clip="") for shot in shots(2)]
    assert [votes for _, votes in asker(checkpoint).votes(stills, labels, [CAMERA_MOVEMENT])] == [[], []]


def test_a_checkpoint_that_knows_what_ends_a_label_is_asked_for_a_second_movement(
    checkpoint: Checkpoint, labels: Path, uninterrupted: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint.model.config, "shotbench", {"ends_labels": True}, raising=False)
    found = asked(checkpoint, copy_of(labels, tmp_path), shots())
    for (_, votes), (_, before) in zip(found, uninterrupted, strict=True):
        second = [vote for vote in votes if vote.second]
        assert len(votes) == len(before) + len(second)
        assert [vote.view for vote in second] == [vote.view for vote in before if vote.medium.endswith("mp4")]
        for vote in second:
            assert math.isclose(sum(vote.probabilities.values()), 1)
            assert vote.details["first"] not in vote.probabilities
            assert NO_TERM in vote.probabilities
    assert found == asked(checkpoint, tmp_path, shots())
