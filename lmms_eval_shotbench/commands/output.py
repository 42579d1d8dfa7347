"""What commands print: their result, and warnings about unanswered questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.commands.command import print_message

if TYPE_CHECKING:
    from lmms_eval_shotbench.qa_item import QAItem


def write_or_print(text: str, out: Path | None) -> None:
    """Write `text` to a file if given, else print it; either way it ends in one newline."""
    if out:
        write_atomic(out, text.rstrip("\n") + "\n")
    else:
        print(text.rstrip("\n"))


def warn_unanswered(items: Sequence[QAItem], total: str) -> None:
    """Warn on stderr about items without a response; `total` describes all items, e.g. "3572 items"."""
    from lmms_eval_shotbench.runs.score import first_indices

    indices = first_indices(items)
    print_message(f"no response for {len(items)} of {total} (index {indices}); they count as wrong")
