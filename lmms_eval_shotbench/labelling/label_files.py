"""All files of a folder of labels that are made of its shot sheet: table, timelines, captions, page."""

from __future__ import annotations

from pathlib import Path

from lmms_eval_shotbench.labelling.exports.caption_template import CaptionTemplate
from lmms_eval_shotbench.labelling.exports.captions import CAPTIONS, remove_captions, stored_template, write_captions
from lmms_eval_shotbench.labelling.exports.timelines import TIMELINES, remove_timelines, write_timelines
from lmms_eval_shotbench.labelling.page.write_page import PAGE, stored_scores, write_page
from lmms_eval_shotbench.labelling.shot_sheet import ShotSheet, write_sheet


def write_label_files(
    folder: Path,
    sheet: ShotSheet,
    *,
    timelines: bool = True,
    captions: bool = True,
    page: bool = True,
    template: CaptionTemplate | None = None,
) -> list[str]:
    """Write a sheet and what is made of it; the sheet comes last, since `labels.json` marks a complete folder.

    What is not written is removed: files of an earlier run would be of other labels.

    Args:
        folder: Folder of the labels, which has the media.
        sheet: The labels.
        timelines: Whether to write the timelines of its films.
        captions: Whether to write the captions of its media.
        page: Whether to write labels.html, with scores.json if the folder has one of these labels.
        template: Wording of the captions (default: the packaged one).

    Returns:
        Names of what was removed.
    """
    removed = []
    if timelines:
        write_timelines(folder, sheet)
    elif remove_timelines(folder, [film.film_id for film in sheet.films]):
        removed.append(TIMELINES)
    if captions:
        write_captions(folder, sheet, template)
    elif remove_captions(folder):
        removed.append(CAPTIONS)
    if page:
        write_page(folder, sheet, stored_scores(folder, sheet))
    elif (folder / PAGE).exists():
        (folder / PAGE).unlink()
        removed.append(PAGE)
    write_sheet(folder, sheet)
    return removed


def write_label_files_again(folder: Path, sheet: ShotSheet) -> None:
    """Write a sheet after a change, and those of the other files that the folder has; captions keep their wording."""
    write_label_files(
        folder,
        sheet,
        timelines=(folder / TIMELINES).exists(),
        captions=(folder / CAPTIONS).exists(),
        page=(folder / PAGE).exists(),
        template=stored_template(folder),
    )
