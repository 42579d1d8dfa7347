"""Messages that several commands print."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from data_pipeline.defects import FIRST_MEDIA, Defect, media_warnings_by_kind
from lmms_eval_shotbench.runs.formatting import first_few


def print_error(text: str) -> None:
    """Print to standard error; lone surrogates, as in file names that are not UTF-8, are escaped."""
    print(text.encode(errors="backslashreplace").decode(), file=sys.stderr)


def print_losses(defects: Sequence[Defect]) -> None:
    """Print one line for each reason for which rows were dropped: their number and the first of them."""
    lost = [defect for defect in defects if defect.loses_row]
    for kind, count in Counter(defect.kind for defect in lost).most_common():
        first = next(defect for defect in lost if defect.kind is kind)
        print_error(f"{count:,} left out: {kind}, e.g. index {first.index}, {first.path}: {first.detail}")


def print_media_warnings(defects: Sequence[Defect]) -> None:
    """Print one line for each kind of warning about media: their number, the first ids, and the first reason."""
    for kind, warned in media_warnings_by_kind(defects).items():
        first = first_few([defect.index for defect in warned], FIRST_MEDIA)
        print(f"warning: {kind}: {len(warned):,} ({first}), e.g. {warned[0].detail}")
