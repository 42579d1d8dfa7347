"""One's own films to shards in one go: shots are cut out by the annotation table, then asked about.

Owns the work folder `.NAME.work` beside OUT, where cut media lie until the shards are whole, and what names the source.
Cutting is in `cut_films.py`, all that comes after it in `build_dataset.py`. A run that was killed finds its cut films
in the work folder again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

from data_pipeline.build_dataset import DatasetRecipe, build_dataset
from data_pipeline.defects import Defect
from data_pipeline.films.cut_films import CUTTING_VERSION, cut_films
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.shards.dataset_card import About, read_defects
from data_pipeline.shards.whole_folder import WriteRefused
from data_pipeline.shards.write_shards import WrittenShards
from data_pipeline.workers import Workers

LICENCE = "other"  # the Hub's word; the films' owner knows better


def build_films(
    films: Path,
    table: Path,
    out: Path,
    settings: CutSettings,
    recipe: DatasetRecipe,
    defects: list[Defect],
    workers: Workers,
    *,
    licence: str = LICENCE,
    overwrite: bool = False,
    keep_work: bool = False,
) -> WrittenShards:
    """Make the shard folder `out` from a folder of films and its annotation table.

    Args:
        defects: Everything that was lost or noted on the way is added, also where an earlier run has written it.
        keep_work: Leave the cut media beside `out`, so that another recipe need not cut them again.

    Raises:
        AuditFailed: the questions are not fit to be written; the work folder stays.
        WriteRefused: `out` is in use, or lies in the folder of films.
    """
    out = Path(os.path.realpath(out.expanduser()))
    if films.resolve() in (out, *out.parents):
        raise WriteRefused(f"--out {out} lies in the films {films}, which would be other ones then; choose another")
    work = out.with_name(f".{out.name}.work")
    shots = cut_films(table, films, work, settings, workers, defects)
    about = about_films(films, table, settings, recipe, licence)
    done = build_dataset(shots, work, out, about, recipe, defects, workers, overwrite=overwrite)
    if done.already_complete:
        defects += read_defects(done.folder)
    if not keep_work:
        shutil.rmtree(work, ignore_errors=True)
    return done


def about_films(films: Path, table: Path, settings: CutSettings, recipe: DatasetRecipe, licence: str) -> About:
    """What the card says of such a set; raises `FileNotFoundError` where there is no table."""
    facts = [CUTTING_VERSION, asdict(settings), hashlib.sha256(table.read_bytes()).hexdigest(), _files(films)]
    return About(
        title=f"Questions on {films.resolve().name}",
        fingerprint=hashlib.sha256(json.dumps(facts).encode()).hexdigest(),
        what="Stills and clips cut out of films, each with one question a labelled dimension about its film language.",
        provenance=f"Films of the folder `{films.resolve().name}`, annotated in `{table.name}`.",
        how_made=f"`shotbench data films {_flags(recipe)}`: shots were cut at the annotated times, bars cropped, bad "
        f"pictures left out. {_thresholds(settings)}.",
        licence=licence,
    )


def _flags(recipe: DatasetRecipe) -> str:
    """The options of the command that decide what is asked, defaults too; what is kept out goes by its own name."""
    asked = recipe.questions
    shares = ",".join(f"{split}:{share:g}" for split, share in recipe.shares.items())
    flags = f"--splits {shares} --seed {recipe.seed} --options {asked.options} --fewest-options {asked.fewest_options}"
    flags += f" --difficulty {asked.difficulty} --max-per-term {asked.max_per_term}"
    flags += "" if asked.balance else " --unbalanced"
    flags += "".join(f" --against {Path(name).name}" for name in recipe.against)
    return flags + (" --no-gate" if recipe.gate is None else f" --gate {100 * recipe.gate:g}")


def _thresholds(settings: CutSettings) -> str:
    usual = asdict(CutSettings())
    other = [f"`{name} = {value!r}`" for name, value in asdict(settings).items() if value != usual[name]]
    return f"Thresholds other than the defaults: {', '.join(other)}" if other else "All thresholds were the defaults"


def _files(folder: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of everything below a folder; one film replaced by another differs in them."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            found.append((path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns))
    return found
