"""The embedded dataset: synthetic films rendered by the project itself, with ground truth by construction.

It is used where no films are available: the demo, the tests, a first run on a new machine. It can be of any size. The
shots are rendered in `studio/`; this module distributes the work over workers, shot by shot for shards and film by film
for raw films, and passes the labelled shots on to be turned into questions.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from data_pipeline.labelled_shot import LabelledShot
from data_pipeline.questions.split_by_film import DEFAULT_SHARES
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.dataset_card import CardText
from data_pipeline.shards.folder_lock import only_writer
from data_pipeline.shards.full_disk import DiskFull, disk_full_reported
from data_pipeline.workers import Workers, map_units
from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.progress import with_progress
from lmms_eval_shotbench.vocabulary import MediaKind

if TYPE_CHECKING:
    from data_pipeline.shards.write_shards import WrittenShards
    from data_pipeline.studio.films import FilmedShot, PlannedShot
    from lmms_eval_shotbench.labelling.truth import ShotTruth

STUDIO_VERSION = 2  # increment when the studio renders other frames, so that older datasets are not reused
WIDTH = 320  # pixels of a 16:9 frame; the studio's textures and speeds are tuned for it
FEW_FILMS = 8  # with fewer, option statistics are meaningless and balancing would drop most questions
Unit = TypeVar("Unit")
Result = TypeVar("Result")


@dataclass(frozen=True)
class StudioSettings:
    """Which films are rendered. The same settings give the same bytes on any number of workers."""

    films: int = 10
    seed: int = 0
    per_term: int = 1
    width: int = WIDTH
    shares: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_SHARES))
    kind: MediaKind | None = None  # render only stills or only clips; stills take a twentieth of the time
    reasoning: bool = False  # add a chain of thought to each question
    first_film: int = 0  # number of the first film, to extend an earlier dataset of the same seed

    @property
    def numbers(self) -> range:
        """Numbers of the films."""
        return range(self.first_film, self.first_film + self.films)

    def __post_init__(self) -> None:
        if self.films < 1 or self.per_term < 1:
            raise ValueError(f"films and shots per term must be 1 or more, got {self.films} and {self.per_term}")
        if self.first_film < 0:
            raise ValueError(f"films are numbered from 0, got {self.first_film}")
        if self.width < 64 or self.width % 32:
            raise ValueError(f"the width must be a multiple of 32 and 64 or more, got {self.width}")


def studio_shards(settings: StudioSettings, out: Path, workers: Workers, *, overwrite: bool = False) -> WrittenShards:
    """Render films and write questions about their shots as shards."""
    from data_pipeline.build_dataset import DatasetRecipe, build_dataset
    from data_pipeline.questions.write_questions import QuestionPolicy

    few_films = settings.films < FEW_FILMS
    recipe = DatasetRecipe(
        shares=settings.shares,
        questions=QuestionPolicy(balance=not few_films, seed=settings.seed, reasoning=settings.reasoning),
        seed=settings.seed,
        gate=None if few_films else DatasetRecipe.gate,
        trust_ids=True,  # films share sets
    )
    about = _studio_card(settings)
    folder = shots_folder(out, about.fingerprint)
    shots = shoot(settings, folder, workers)  # lazy: nothing is rendered if the shards exist
    check_workers = Workers() if few_films else workers  # starting Ray again does not pay off for a minute of work
    written = build_dataset(shots, folder, out, about, recipe, [], check_workers, overwrite=overwrite)
    shutil.rmtree(folder, ignore_errors=True)
    return written


def shots_folder(out: Path, fingerprint: str) -> Path:
    """Return the folder of the shots until the shards are complete; a resumed run reuses it."""
    out = Path(os.path.realpath(out.expanduser()))
    return out.parent / f".{out.name}.{hashlib.sha256(fingerprint.encode()).hexdigest()[:12]}.shots"


def shoot(settings: StudioSettings, folder: Path, workers: Workers) -> Iterator[LabelledShot]:
    """Render all shots of all films and write their media to `folder`, which one process at a time may use."""
    with only_writer(folder):
        yield from _run_all(partial(shoot_one, folder=folder), planned_shots(settings), workers, "shot")


def planned_shots(settings: StudioSettings) -> list[PlannedShot]:
    """Return the shots of all films, in order, without rendering anything."""
    from data_pipeline.studio.films import film_plan

    return [
        plan
        for film in settings.numbers
        for plan in film_plan(settings.seed, film, settings.per_term, settings.width)
        if settings.kind in (None, plan.media_kind)
    ]


def whole_shots(settings: StudioSettings) -> Iterator[tuple[FilmedShot, dict[str, ShotTruth]]]:
    """Render all shots of all films in this process; yields each with the truth of every dimension, by slug."""
    from data_pipeline.studio.films import film_shot
    from data_pipeline.studio.whole_truth import whole_truth

    for plan in planned_shots(settings):
        shot = film_shot(plan)
        yield shot, whole_truth(shot)


def shoot_one(plan: PlannedShot, folder: Path) -> LabelledShot:
    """Render one shot and write its medium to `folder`, unless an earlier run has done so."""
    from data_pipeline.studio.films import LICENCE, SOURCE, film_shot

    record = folder / f"{plan.file_name}.json"
    if record.exists():  # written after the medium
        return LabelledShot.from_row(json.loads(record.read_text(encoding="utf-8")))
    shot = film_shot(plan)
    medium = shot.encoded()
    labelled = LabelledShot(
        shot_id=plan.shot_id,
        film_id=plan.film_id,
        media_kind=plan.media_kind,
        media_path=plan.file_name,
        media_sha256=hashlib.sha256(medium).hexdigest(),
        labels=shot.labels,
        source=SOURCE,
        licence=LICENCE,
    )
    with disk_full_reported(folder):
        write_atomic(folder / plan.file_name, medium)
        write_atomic(record, json.dumps(labelled.to_row()))
    return labelled


def studio_films(
    settings: StudioSettings, out: Path, workers: Workers, *, truth: bool = False, transitions: bool = False
) -> int:
    """Render films as files with tables of annotations and truth, and return their number of rows.

    Finished films are kept.

    Args:
        truth: Also write masks, depth and flow.
        transitions: Join some shots by dissolves and fades instead of cuts.

    Raises:
        FileExistsError: `out` has finished films, or films of other settings.
        WriteRefused: `out` is not a folder, or another process is writing to it.
        DiskFull: the disk is full; the next call with the same settings resumes.
    """
    from data_pipeline.studio.film_reels import (
        ROWS,
        TABLE,
        TRUTH_TABLE,
        ReelOrder,
        claim_folder,
        make_reel,
        write_table,
    )
    from lmms_eval_shotbench.labelling.truth import truth_table

    out = Path(os.path.realpath(out.expanduser()))  # workers may have another working directory
    if out.exists() and not out.is_dir():
        raise WriteRefused(f"{out} is not a folder; choose another --out")
    flags = f"{_flags(settings)} --width {settings.width}" + " --truth" * truth + " --transitions all" * transitions
    with only_writer(out), disk_full_reported(out):
        claim_folder(out, f"studio-{STUDIO_VERSION} {flags}")
        orders = [
            ReelOrder(out, settings.seed, film, settings.per_term, settings.width, truth, transitions)
            for film in settings.numbers
        ]
        shots = [shot for reel in _run_all(make_reel, orders, workers, "film") for shot in reel]
        write_atomic(out / TRUTH_TABLE, truth_table(shot.truth for shot in shots))
        write_table(out / TABLE, [shot.annotation for shot in shots])  # last: it marks the films as complete
        shutil.rmtree(out / ROWS)
    return len(shots)


def _run_all(work: Callable[[Unit], Result], units: Sequence[Unit], workers: Workers, name: str) -> Iterator[Result]:
    """Yield the result of `work` for every unit, in order, with a progress bar."""
    results = map_units(partial(_run_or_disk_full, work), units, workers)
    for result in with_progress(results, "studio", len(units), name):
        if isinstance(result, DiskFull):
            raise result
        yield result


def _run_or_disk_full(work: Callable[[Unit], Result], unit: Unit) -> Result | DiskFull:
    """Run `work`, returning `DiskFull` as a result: raised in a worker, it would be hidden in Ray's tracebacks."""
    try:
        return work(unit)
    except DiskFull as error:
        return error


def _studio_card(settings: StudioSettings) -> CardText:
    shares = ",".join(f"{split}:{share:g}" for split, share in settings.shares.items())
    flags = _flags(settings)
    return CardText(
        title="Studio films",
        fingerprint=f"studio-{STUDIO_VERSION}-{flags}-{settings.width}-{shares}" + "-reasoning" * settings.reasoning,
        what="Synthetic stills and clips, each with questions about its film language.",
        provenance="Rendered by lmms-eval-shotbench; no film footage was used.",
        how_made=f"`shotbench data studio {flags} --width {settings.width} --splits {shares}"
        + " --reasoning" * settings.reasoning
        + "`: "
        "every shot is staged for one term.",
        licence="apache-2.0",
        tags=("synthetic",),
        known_limits="People are mannequins, sets are simple; clips are two to three seconds at 12 frames a second.",
    )


def _flags(settings: StudioSettings) -> str:
    """Return the command-line flags that select these films."""
    flags = f"--films {settings.films} --seed {settings.seed} --shots-per-term {settings.per_term}"
    flags += f" --first-film {settings.first_film}" * bool(settings.first_film)
    return flags + f" --only {settings.kind}s" * bool(settings.kind)
