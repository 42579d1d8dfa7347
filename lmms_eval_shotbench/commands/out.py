"""`--out FILE` of the commands that print where it is not given."""

from __future__ import annotations

import argparse
from pathlib import Path

from lmms_eval_shotbench.whole_file import NoPlace, require_place, write_whole


def add_out(parser: argparse.ArgumentParser) -> None:
    """Mount `--out`."""
    parser.add_argument("--out", type=out_file, help="write there instead of printing")


def out_file(text: str) -> Path:
    """The type of an argument that names a file to write: refused at once where none can be written."""
    try:
        require_place(Path(text))
    except NoPlace as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Path(text)


def put_out(text: str, out: Path | None) -> None:
    """Write `text` to a file, or print it; it ends in one line break either way."""
    if out:
        write_whole(out, text.rstrip("\n") + "\n")
    else:
        print(text.rstrip("\n"))
