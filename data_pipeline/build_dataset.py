"""From labelled shots to a finished shard folder: everything that `shotbench data` does once shots are cut or staged.

Owns the flow, in this order, so that nothing is decided that a later step would undo: looks of all media; the
benchmark's pictures go; films are dealt out to splits; shots that look alike go; questions are asked, split by split;
the questions are audited; shards are written. Each step is in a file of its own. Where the audit fails, nothing is
written.

The fingerprint covers the source as the caller names it, the recipe and what is kept out. So the same call finds
finished shards at once, without asking for a single shot, and a killed run goes on where its last finished file ends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from data_pipeline.checks.audit import AuditFailed, AuditReport, audit
from data_pipeline.checks.blind_audit import MARGIN
from data_pipeline.checks.decontaminate import benchmark_media, drop_benchmark
from data_pipeline.checks.duplicates import drop_duplicates
from data_pipeline.checks.media_looks import LookedAt, look_at_shots
from data_pipeline.defects import Defect, DefectKind
from data_pipeline.labelled_shot import LabelledShot
from data_pipeline.questions.split_by_film import DEFAULT_SHARES, SPLITS, check_shares, split_films
from data_pipeline.questions.write_questions import QuestionPolicy, ask
from data_pipeline.shards.dataset_card import About
from data_pipeline.shards.manifest import check_place
from data_pipeline.shards.write_shards import ShardRow, WrittenShards, finished_manifest, write_shards
from data_pipeline.workers import Workers
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import MANIFEST, file_sha256, locate_shards

BUILD_VERSION = 1  # raise it when the same shots and recipe give other shards
AUDIT = "audit.json"
HOW_MADE = """
Films are dealt out to splits whole. Pictures that look like another one are left out, and so are those of the
benchmarks the set was made against. A wrong option is certainly wrong: it belongs to the facet of the right one, or the
label rules it out. Questions are asked in rounds, in which every option is right once, so that option frequencies and
letters do not give answers away; what does not fit into a round is surplus.
"""
KNOWN_LIMITS = """
Balance comes from the labels that are there: a term without rivals in its split is not asked about, and dimensions
whose terms exclude few others have questions of two or three options. Look-alikes are found by colour and coarse
structure; one place filmed twice from different angles is not found, and stills are not compared with clips.
"""


@dataclass(frozen=True)
class DatasetRecipe:
    """What becomes of the shots."""

    shares: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_SHARES))  # of films, by split
    questions: QuestionPolicy = field(default_factory=QuestionPolicy)
    seed: int = 0  # of the splits; that of the questions is in `questions`
    gate: float | None = MARGIN  # how far above chance option frequencies may get; None: as far as they do
    against: tuple[str, ...] = ()  # shard folders or Hub ids whose pictures are kept out

    @property
    def splits(self) -> list[str]:
        """Splits that have a share, as they are written."""
        return [split for split in SPLITS if self.shares.get(split, 0) > 0]


def build_dataset(
    shots: Iterable[LabelledShot],
    media: Path,
    out: Path,
    about: About,
    recipe: DatasetRecipe,
    defects: list[Defect],
    workers: Workers,
    *,
    overwrite: bool = False,
) -> WrittenShards:
    """Write questions on these shots as shards; `media` is the folder the shots' paths are relative to.

    Args:
        shots: Not looked at where the shards are complete already.
        about: Its fingerprint must name all that decides which shots come and what they show; the recipe is added here.
        defects: What was lost before, at the latest when the last shot has come; what is lost here is added.

    Raises:
        AuditFailed: the questions are not fit to be written.
        DatasetNotFound: there is nothing to keep out where the recipe points.
        WriteRefused: something else is at `out`, or no question is left.
    """
    check_shares(recipe.shares)
    about = replace(about, fingerprint=_fingerprint(about, recipe))
    out = out.expanduser()
    if not overwrite and (finished := finished_manifest(out, about.fingerprint)):
        return WrittenShards(out, finished["counts"], already_complete=True)
    check_place(out, overwrite)  # before the work, not after it
    shots = _decodable(look_at_shots(_with_own_ids(shots), media, workers), defects)
    rows, report = _questions(shots, recipe, defects, workers)
    if report.failures:
        raise AuditFailed(report)
    return write_shards(
        _shard_rows(rows, media),
        out,
        _told(about, report),
        splits=recipe.splits,
        overwrite=overwrite,
        defects=defects,
        extra={AUDIT: report.to_json()},
        expected_bytes=sum((media / row.item.media_path).stat().st_size for row in rows),
    )


def _questions(
    shots: Sequence[LabelledShot], recipe: DatasetRecipe, defects: list[Defect], workers: Workers
) -> tuple[list[LookedAt], AuditReport]:
    """The questions of all splits, one split after the other, and what the audit says of them."""
    benchmark = benchmark_media(recipe.against, workers)
    shots = drop_benchmark(shots, benchmark, defects)
    split_of = split_films((shot.film_id for shot in shots), recipe.shares, recipe.seed)
    shots = drop_duplicates(shots, split_of, recipe.splits, defects)
    looks = {shot.media_path: shot.perceptual_hash for shot in shots}
    rows: list[LookedAt] = []
    for split in recipe.splits:
        own = [shot for shot in shots if split_of[shot.film_id] == split]
        items = ask(own, recipe.questions, defects, first_index=len(rows))
        rows += [LookedAt(split, item, looks[item.media_path]) for item in items]
    return rows, audit(rows, benchmark, recipe.gate)


def _shard_rows(rows: Iterable[LookedAt], media: Path) -> Iterator[ShardRow]:
    for row in rows:
        yield ShardRow(row.split, row.item, partial(_read, media, row.item))


def _read(media: Path, item: QAItem) -> bytes:
    return (media / item.media_path).read_bytes()


def _told(about: About, report: AuditReport) -> About:
    return replace(
        about,
        how_made=f"{about.how_made.strip()}\n{HOW_MADE}",
        known_limits=f"{about.known_limits.strip()}\n{KNOWN_LIMITS}",
        sections={**about.sections, "Audit": report.checks_markdown()},
    )


def _with_own_ids(shots: Iterable[LabelledShot]) -> list[LabelledShot]:
    by_id: dict[str, LabelledShot] = {}
    for shot in shots:
        if shot.shot_id in by_id:
            raise ValueError(f"shot {shot.shot_id!r} stands twice; give every shot an id of its own")
        by_id[shot.shot_id] = shot
    return list(by_id.values())


def _decodable(shots: Sequence[LabelledShot], defects: list[Defect]) -> list[LabelledShot]:
    """Whoever made the shots has checked their media; still, none that is broken may reach a model."""
    broken = [shot for shot in shots if not shot.perceptual_hash]
    said = "no picture comes out of it"
    defects += [Defect(DefectKind.UNDECODABLE_MEDIUM, 0, shot.shot_id, shot.media_path, said, True) for shot in broken]
    return [shot for shot in shots if shot.perceptual_hash]


def _fingerprint(about: About, recipe: DatasetRecipe) -> str:
    kept_out = sorted(file_sha256(locate_shards(name) / MANIFEST) for name in recipe.against)
    facts = asdict(recipe) | {"shares": sorted(recipe.shares.items()), "against": kept_out}
    seen = [BUILD_VERSION, about.fingerprint, facts]
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()
