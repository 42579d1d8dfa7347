"""The embedded set: films that the project shoots itself, in a studio of its own, with ground truth by construction.

It stands in wherever no film is at hand: the demo, the tests, a first look at a new machine. It can be made as large as
one likes. What is shot is the studio's business; here the work is spread over workers, shot by shot for shards, film by
film for raw films, and the labelled shots are handed on to become questions.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from data_pipeline.labelled_shot import LabelledShot
from data_pipeline.questions.split_by_film import DEFAULT_SHARES
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.dataset_card import About
from data_pipeline.shards.folder_lock import only_writer
from data_pipeline.shards.full_disk import DiskFull, disk_full_reported
from data_pipeline.workers import Workers, map_units
from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.vocabulary import MediaKind

if TYPE_CHECKING:
    from data_pipeline.shards.write_shards import WrittenShards
    from data_pipeline.studio.films import PlannedShot

SHOOTING = 2  # raised when the studio shoots otherwise, so that an older set is not taken for this one
WIDTH = 320  # pixels of a picture, 16:9; what the studio's textures and speeds are made for
FEW_FILMS = 8  # below, statistics of options say nothing, and balancing them would cost most questions
Unit = TypeVar("Unit")
Result = TypeVar("Result")


@dataclass(frozen=True)
class StudioSettings:
    """What is shot. The same settings give the same bytes, whoever does the work."""

    films: int = 10
    seed: int = 0
    per_term: int = 1
    width: int = WIDTH
    shares: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_SHARES))
    kind: MediaKind | None = None  # shoot stills alone, or clips; stills cost a twentieth
    reasoning: bool = False  # questions with a chain of thought
    first_film: int = 0  # the number of the first: later ones of a seed that no earlier set holds

    @property
    def numbers(self) -> range:
        """Of the films."""
        return range(self.first_film, self.first_film + self.films)

    def __post_init__(self) -> None:
        if self.films < 1 or self.per_term < 1:
            raise ValueError(f"films and shots per term must be 1 or more, got {self.films} and {self.per_term}")
        if self.first_film < 0:
            raise ValueError(f"films are numbered from 0, got {self.first_film}")
        if self.width < 64 or self.width % 32:
            raise ValueError(f"the width must be a multiple of 32 and 64 or more, got {self.width}")


def studio_shards(settings: StudioSettings, out: Path, workers: Workers, *, overwrite: bool = False) -> WrittenShards:
    """Shoot films and write questions on their shots as shards."""
    from data_pipeline.build_dataset import DatasetRecipe, build_dataset
    from data_pipeline.questions.write_questions import QuestionPolicy

    few = settings.films < FEW_FILMS
    recipe = DatasetRecipe(
        shares=settings.shares,
        questions=QuestionPolicy(balance=not few, seed=settings.seed, reasoning=settings.reasoning),
        seed=settings.seed,
        gate=None if few else DatasetRecipe.gate,
    )
    about = _about(settings)
    folder = unfinished(out, about.fingerprint)
    shots = shoot(settings, folder, workers)  # not begun if the shards are there
    lookers = Workers() if few else workers  # Ray is not started twice for a minute's work
    written = build_dataset(shots, folder, out, about, recipe, [], lookers, overwrite=overwrite)
    shutil.rmtree(folder, ignore_errors=True)
    return written


def unfinished(out: Path, fingerprint: str) -> Path:
    """Where shots lie until the shards are complete; a run that was killed finds them there again."""
    out = Path(os.path.realpath(out.expanduser()))
    return out.parent / f".{out.name}.{hashlib.sha256(fingerprint.encode()).hexdigest()[:12]}.shots"


def shoot(settings: StudioSettings, folder: Path, workers: Workers) -> Iterator[LabelledShot]:
    """Shoot every shot of all films; their media are written to `folder`, by one process at a time."""
    from data_pipeline.studio.films import film_plan

    plans = [
        plan
        for film in settings.numbers
        for plan in film_plan(settings.seed, film, settings.per_term, settings.width)
        if settings.kind in (None, plan.media_kind)
    ]
    with only_writer(folder):
        yield from _made(partial(shoot_one, folder=folder), plans, workers, "shot")


def shoot_one(plan: PlannedShot, folder: Path) -> LabelledShot:
    """Shoot one shot and write its medium to `folder`, unless an earlier run has."""
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


def studio_films(settings: StudioSettings, out: Path, workers: Workers, *, truth: bool = False) -> int:
    """Shoot films as files, with their annotation table; returns the number of its rows. Finished films are kept.

    Raises:
        FileExistsError: films are at `out`, finished or of other settings.
        WriteRefused: `out` is no folder, or another process writes there.
        DiskFull: no room; the next call with the same settings goes on.
    """
    from data_pipeline.studio.film_reels import ROWS, TABLE, ReelOrder, claim_folder, make_reel, write_table

    out = Path(os.path.realpath(out.expanduser()))  # workers may stand elsewhere
    if out.exists() and not out.is_dir():
        raise WriteRefused(f"{out} is no folder; choose another --out")
    with only_writer(out), disk_full_reported(out):
        claim_folder(out, f"studio-{SHOOTING} {_flags(settings)} --width {settings.width}" + " --truth" * truth)
        orders = [
            ReelOrder(out, settings.seed, film, settings.per_term, settings.width, truth) for film in settings.numbers
        ]
        rows = [row for reel in _made(make_reel, orders, workers, "film") for row in reel]
        write_table(out / TABLE, rows)  # last: with it the films are complete
        shutil.rmtree(out / ROWS)
    return len(rows)


def _made(work: Callable[[Unit], Result], units: Sequence[Unit], workers: Workers, name: str) -> Iterator[Result]:
    """What `work` makes of every unit, in order, with a progress bar."""
    from tqdm import tqdm

    results = map_units(partial(_made_or_full, work), units, workers)
    for result in tqdm(results, total=len(units), desc="studio", unit=name, file=sys.stderr, disable=None):
        if isinstance(result, DiskFull):
            raise result
        yield result


def _made_or_full(work: Callable[[Unit], Result], unit: Unit) -> Result | DiskFull:
    """A full disk comes back as a result: as an error of a worker, Ray would bury it under its tracebacks."""
    try:
        return work(unit)
    except DiskFull as error:
        return error


def _about(settings: StudioSettings) -> About:
    shares = ",".join(f"{split}:{share:g}" for split, share in settings.shares.items())
    flags = _flags(settings)
    return About(
        title="Studio films",
        fingerprint=f"studio-{SHOOTING}-{flags}-{settings.width}-{shares}" + "-reasoning" * settings.reasoning,
        what="Synthetic stills and clips, each with questions about its film language.",
        provenance="Shot by the virtual camera of lmms-eval-shotbench; no film was used.",
        how_made=f"`shotbench data studio {flags} --width {settings.width} --splits {shares}"
        + " --reasoning" * settings.reasoning
        + "`: "
        "every shot is staged for one term.",
        licence="apache-2.0",
        tags=("synthetic",),
        known_limits="People are mannequins, sets are simple; clips are two to three seconds at 12 frames a second.",
    )


def _flags(settings: StudioSettings) -> str:
    """Which films, as one says it on the command line."""
    flags = f"--films {settings.films} --seed {settings.seed} --shots-per-term {settings.per_term}"
    flags += f" --first-film {settings.first_film}" * bool(settings.first_film)
    return flags + f" --only {settings.kind}s" * bool(settings.kind)
