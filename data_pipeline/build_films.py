"""Your own films to shards in one command: cut shots by the annotation table, then generate questions.

Owns the work folder `.NAME.work` beside OUT, which holds the cut media until the shards are complete, and the
fingerprint of the source. Cutting is in `cut_films.py`, everything after it in `build_dataset.py`. An interrupted run
reuses the films already cut in the work folder.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

from data_pipeline.annotations.annotation_table import PLAIN, TableOptions
from data_pipeline.build_dataset import DatasetRecipe, build_dataset
from data_pipeline.defects import Defect
from data_pipeline.films.cut_films import CUTTING_VERSION, cut_films
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.film_archive import FilmArchives
from data_pipeline.row_account import RowAccount, read_rows_file
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.dataset_card import CardText, read_defects
from data_pipeline.shards.write_shards import WrittenShards
from data_pipeline.workers import Workers
from lmms_eval_shotbench.remote_path import Location, RemotePath, remove_tree, resolved

LICENCE = "other"  # Hub identifier; the owner of the films can name another


def build_films(
    films: Location,
    table: Location,
    out: Location,
    settings: CutSettings,
    recipe: DatasetRecipe,
    defects: list[Defect],
    workers: Workers,
    *,
    options: TableOptions = PLAIN,
    account: RowAccount | None = None,
    licence: str = LICENCE,
    overwrite: bool = False,
    keep_work: bool = False,
) -> WrittenShards:
    """Build the shard folder `out` from a folder of films and its annotation table.

    Args:
        defects: All defects are appended, including those recorded by an earlier run that completed the shards.
        options: How the table is read.
        account: Receives the rows of the table and the questions about them.
        keep_work: Keep the cut media beside `out`, so that another recipe need not cut them again.

    Raises:
        AuditFailed: the questions did not pass the audit; the work folder is kept.
        WriteRefused: `out` is in use, or is inside the films folder.
    """
    out = resolved(out)
    films = films.listed() if isinstance(films, RemotePath) else films
    if films.resolve() in (out, *out.parents):
        raise WriteRefused(f"--out {out} is inside the films folder {films} and would change it; choose another --out")
    work = out.with_name(f".{out.name}.work")
    frames: dict[str, list[str]] = {}
    account = account or RowAccount()
    media = work if isinstance(work, Path) else FilmArchives(work)
    archives = media if isinstance(media, FilmArchives) else None
    cutting = partial(cut_films, table, films, work, settings, workers, defects, options, archives=archives)
    shots = cutting(frames=frames, listed=account.rows, trust_ids=recipe.trust_ids)
    about = about_films(films, table, settings, recipe, licence, options)
    building = partial(build_dataset, shots, media, out, about, recipe, defects, workers)
    done = building(frames=frames, account=account, overwrite=overwrite)
    account.stored = read_rows_file(done.folder)
    if done.already_complete:
        defects += read_defects(done.folder)
    if not keep_work:
        remove_tree(work)
    return done


def about_films(
    films: Location,
    table: Location,
    settings: CutSettings,
    recipe: DatasetRecipe,
    licence: str,
    options: TableOptions = PLAIN,
) -> CardText:
    """Card text and source fingerprint of such a data set; raises `FileNotFoundError` if there is no table."""
    given = {name: value for name, value in asdict(options).items() if value or name != "only_sources"}  # newer option
    read = [hashlib.sha256(table.read_bytes()).hexdigest(), given]
    inputs = [CUTTING_VERSION, asdict(settings), read, _files(films)]
    return CardText(
        title=f"Questions on {films.resolve().name}",
        fingerprint=hashlib.sha256(json.dumps(inputs).encode()).hexdigest(),
        what="Stills and clips cut out of films, each with one question on its film language per labelled dimension.",
        provenance=f"Films of the folder `{films.resolve().name}`, annotated in `{table.name}`.",
        how_made=f"`shotbench data films {_flags(recipe)}{_reading(options)}`: shots were cut at the annotated times, "
        f"black bars cropped, low-quality media dropped. {_thresholds(settings)}.",
        licence=licence,
    )


def _flags(recipe: DatasetRecipe) -> str:
    """The command-line options that determine the questions, defaults included; `--against` without its folders."""
    policy = recipe.questions
    shares = ",".join(f"{split}:{share:g}" for split, share in recipe.shares.items())
    flags = f"--splits {shares} --seed {recipe.seed} --options {policy.options}"
    flags += f" --fewest-options {policy.fewest_options} --difficulty {policy.difficulty}"
    flags += f" --max-per-term {policy.max_per_term}" + ("" if policy.balance else " --unbalanced")
    flags += " --reasoning" * policy.reasoning
    flags += "".join(f" --against {Path(name).name}" for name in recipe.against)
    flags += " --trust-ids" if recipe.trust_ids else ""
    return flags + (" --no-gate" if recipe.gate is None else f" --gate {100 * recipe.gate:g}")


def _reading(options: TableOptions) -> str:
    """The command-line options that determine how the table is read; the file of aliases by its number of entries."""
    ignored = "".join(f" --ignore-columns '{name}'" for name in options.ignored_columns)
    sources = "".join(f" --only-source '{name}'" for name in options.only_sources)
    own = len({alias.key for alias in options.aliases.entries})
    return ignored + sources + (f" --aliases <{own} own words>" if own else "")


def _thresholds(settings: CutSettings) -> str:
    defaults = asdict(CutSettings())
    changed = [f"`{name} = {value!r}`" for name, value in asdict(settings).items() if value != defaults[name]]
    return f"Non-default thresholds: {', '.join(changed)}" if changed else "All thresholds were the defaults"


def _files(folder: Location) -> list[tuple[str, int, int]]:
    """Relative path, size and modification time of every file below a folder; a replaced film differs in these."""
    if isinstance(folder, RemotePath):
        return [(name, *status) for name, status in folder.files().items()]
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            found.append((path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns))
    return found
