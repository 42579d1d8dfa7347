"""From labelled shots to a finished shard folder: all that `shotbench data` does once shots are cut or rendered.

Owns the order of the stages, chosen so that no stage invalidates an earlier one: hash all media; drop benchmark media;
find film ids that may name one film; assign films to splits; drop near-duplicates; generate questions split by split;
audit them; write shards. Each stage has its own module. If the audit fails, nothing is written.

The fingerprint covers the source as the caller describes it, the recipe and the excluded benchmarks. Repeating a call
therefore finds finished shards without reading a single shot, and an interrupted run resumes after its last finished
file.
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
from data_pipeline.checks.media_hashes import HashedItem, hash_shots
from data_pipeline.checks.same_films import same_films
from data_pipeline.defects import Defect, DefectKind
from data_pipeline.films.film_archive import READ_AT_ONCE, FilmArchives
from data_pipeline.labelled_shot import LabelledShot
from data_pipeline.questions.split_by_film import DEFAULT_SHARES, SPLITS, check_shares, split_films
from data_pipeline.questions.write_questions import QuestionPolicy, questions_of_shots
from data_pipeline.row_account import ROWS, RowAccount, WrittenQuestion, rows_csv
from data_pipeline.shards.dataset_card import AUDIT_SECTION, CardText
from data_pipeline.shards.manifest import check_target
from data_pipeline.shards.push_to_url import require_free_target
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import WrittenShards, finished_manifest, write_shards
from data_pipeline.workers import Workers
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import MANIFEST, file_sha256, locate_shards
from lmms_eval_shotbench.remote_path import Location, resolved

BUILD_VERSION = 2  # raise it when the same shots and recipe give other shards
AUDIT = "audit.json"
HOW_MADE = """
All shots of a film are in one split. Near-duplicate media are left out, and so are media of the benchmarks given with
`--against`. Every distractor is certainly wrong: it belongs to the same facet as the right answer, or the label rules
it out. Questions are generated in rounds in which every option is right once, so that option frequencies and letters do
not reveal answers; questions that do not complete a round are dropped for balance.
"""
TOGETHER = "Films that look alike, and films whose ids differ only in spelling, are in one split."
KNOWN_LIMITS = """
Balance depends on the available labels: there are no questions about a term without rivals in its split, and dimensions
whose terms exclude few others have questions with two or three options. Near-duplicates are detected by colour and
coarse structure; a location filmed twice from different angles is not detected, and stills are not compared with clips.
"""


@dataclass(frozen=True)
class DatasetRecipe:
    """How shots are split, turned into questions and audited."""

    shares: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_SHARES))  # of films, by split
    questions: QuestionPolicy = field(default_factory=QuestionPolicy)
    seed: int = 0  # of the splits; the seed of the questions is in `questions`
    gate: float | None = MARGIN  # maximum blind accuracy above chance, as a fraction; None: no gate
    against: tuple[str, ...] = ()  # shard folders or Hub ids whose media are excluded
    trust_ids: bool = False  # different film ids are different films, even if spelling or pictures suggest one film

    @property
    def splits(self) -> list[str]:
        """Splits with a positive share, in the order in which they are written."""
        return [split for split in SPLITS if self.shares.get(split, 0) > 0]


def build_dataset(
    shots: Iterable[LabelledShot],
    media: Path | FilmArchives,
    out: Location,
    about: CardText,
    recipe: DatasetRecipe,
    defects: list[Defect],
    workers: Workers,
    *,
    frames: Mapping[str, Sequence[str]] | None = None,
    account: RowAccount | None = None,
    overwrite: bool = False,
) -> WrittenShards:
    """Generate questions about the shots and write them as shards.

    Args:
        shots: Not consumed if the shards are already complete.
        media: Folder that the shots' `media_path` is relative to, or archives, whose shots have been hashed.
        about: Its fingerprint must cover everything that determines the shots and their media; the recipe is added.
        frames: Perceptual hashes of frames spread over each film, by film id, complete once `shots` is exhausted.
        account: Receives the questions; the shots must be of its rows. Without it, no `rows.csv` is written.
        defects: Earlier defects, complete once `shots` is exhausted; defects found here are appended.

    Raises:
        AuditFailed: the questions did not pass the audit.
        DatasetNotFound: a benchmark in `recipe.against` does not exist.
        WriteRefused: `out` holds something else, or no question is left.
    """
    check_shares(recipe.shares)
    about = replace(about, fingerprint=_fingerprint(about, recipe))
    out = resolved(out)
    if not overwrite and (finished := finished_manifest(out, about.fingerprint)):
        return WrittenShards(out, finished["counts"], already_complete=True)
    # Fail before the expensive stages.
    check_target(out, overwrite) if isinstance(out, Path) else require_free_target(out, overwrite)
    listed = _with_unique_ids(shots)
    shots = _decodable(hash_shots(listed, media, workers) if isinstance(media, Path) else listed, defects)
    rows, report = _audited_questions(shots, frames or {}, recipe, defects, workers)
    if report.failures:
        raise AuditFailed(report)
    extra: dict[str, str | bytes] = {AUDIT: report.to_json()}
    line_of = {shot.media_path: shot.line for shot in shots}

    def pending_rows() -> Iterator[PendingRow]:
        for row in rows:
            read = partial(_medium_bytes, media, row.item)
            yield PendingRow(row.split, row.item, read, line_of[row.item.media_path])
        if account:
            lost = {defect.index for defect in defects if defect.loses_row}  # some when they were written
            account.questions += [
                WrittenQuestion(line_of[row.item.media_path], row.split, row.item.media_kind)
                for row in rows
                if row.item.item_id not in lost
            ]
            extra[ROWS] = rows_csv(account.balanced_outcomes(defects))

    return write_shards(
        pending_rows(),
        out,
        _with_audit(about, report, recipe),
        splits=recipe.splits,
        overwrite=overwrite,
        defects=defects,
        extra=extra,
        expected_bytes=sum(_bytes_of(media, row.item) for row in rows),
        read_at_once=1 if isinstance(media, Path) else READ_AT_ONCE,
    )


def _audited_questions(
    shots: Sequence[LabelledShot],
    frames: Mapping[str, Sequence[str]],
    recipe: DatasetRecipe,
    defects: list[Defect],
    workers: Workers,
) -> tuple[list[HashedItem], AuditReport]:
    """The questions of all splits, one split after the other, and their audit report."""
    benchmark = benchmark_media(recipe.against, workers)
    shots = drop_benchmark(shots, benchmark, defects)
    same = [] if recipe.trust_ids else same_films(shots, frames)
    defects += [one.defect() for one in same]
    together = [one.film_ids for one in same]
    split_of = split_films((shot.film_id for shot in shots), recipe.shares, recipe.seed, together)
    shots = drop_duplicates(shots, split_of, recipe.splits, defects)
    hashes = {shot.media_path: shot.perceptual_hash for shot in shots}
    rows: list[HashedItem] = []
    for split in recipe.splits:
        split_shots = [shot for shot in shots if split_of[shot.film_id] == split]
        items = questions_of_shots(split_shots, recipe.questions, defects, first_index=len(rows))
        rows += [HashedItem(split, item, hashes[item.media_path]) for item in items]
    return rows, audit(rows, benchmark, recipe.gate)


def _bytes_of(media: Path | FilmArchives, item: QAItem) -> int:
    if isinstance(media, FilmArchives):
        return media.size(item.media_path)
    try:
        return (media / item.media_path).stat().st_size
    except OSError:
        return 0  # reported when it is written


def _medium_bytes(media: Path | FilmArchives, item: QAItem) -> bytes:
    return media.read(item.media_path) if isinstance(media, FilmArchives) else (media / item.media_path).read_bytes()


def _with_audit(about: CardText, report: AuditReport, recipe: DatasetRecipe) -> CardText:
    together = "" if recipe.trust_ids else TOGETHER
    return replace(
        about,
        how_made=f"{about.how_made.strip()}\n{HOW_MADE}{together}",
        known_limits=f"{about.known_limits.strip()}\n{KNOWN_LIMITS}",
        sections={**about.sections, AUDIT_SECTION: report.checks_markdown()},
    )


def _with_unique_ids(shots: Iterable[LabelledShot]) -> list[LabelledShot]:
    by_id: dict[str, LabelledShot] = {}
    for shot in shots:
        if shot.shot_id in by_id:
            raise ValueError(f"shot id {shot.shot_id!r} occurs twice; give every shot a unique id")
        by_id[shot.shot_id] = shot
    return list(by_id.values())


def _decodable(shots: Sequence[LabelledShot], defects: list[Defect]) -> list[LabelledShot]:
    """Drop shots without a hash. Media are checked when shots are made, but no broken one may reach a model."""
    broken = [shot for shot in shots if not shot.perceptual_hash]
    defects += [shot.loss(DefectKind.UNDECODABLE_MEDIUM, "no picture comes out of it") for shot in broken]
    return [shot for shot in shots if shot.perceptual_hash]


def _fingerprint(about: CardText, recipe: DatasetRecipe) -> str:
    excluded = sorted(file_sha256(locate_shards(name) / MANIFEST) for name in recipe.against)
    settings = asdict(recipe) | {"shares": sorted(recipe.shares.items()), "against": excluded}
    inputs = [BUILD_VERSION, about.fingerprint, settings]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
