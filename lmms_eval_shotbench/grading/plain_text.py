"""Reduce a text to plain words: Unicode variants, invisible characters, markup, LaTeX and leftovers of chat templates.

Standard library only; linear time.
"""

from __future__ import annotations

import re
import unicodedata

from lmms_eval_shotbench.grading.languages import in_english
from lmms_eval_shotbench.grading.tables import read_tables

_SIGNS = str.maketrans(
    dict.fromkeys("‘’‚′`´", "'")
    | dict.fromkeys("“”„″«»「」『』《》", '"')
    | dict.fromkeys("‐‑‒–—―−", "-")
    | {
        "。": ". ",
        "、": ", ",
        "；": "; ",
        "→": "->",
        "⇒": "->",
        "•": "- ",
        "【": "[",
        "】": "]",
        "\u3000": " ",
        "\xa0": " ",
    }
    | dict.fromkeys("✓✔✅☑", "✓")
    | dict.fromkeys("✗✘❌☒✖", "✗")
    | {
        chr(first + index): chr(ord("A") + index)
        for first in (0x1F130, 0x1F150, 0x1F170, 0x1F1E6)
        for index in range(26)
    }
    | dict.fromkeys(map(chr, range(0xFE00, 0xFE10)), "")  # variants of emoji
)
_TICKED_LINE = re.compile(r"^(\W{0,6}?)(?:([✓✗])|\[([ xX✓✗])\])(?=\s*\S)(.*)$", re.MULTILINE)
_TICKS = {"✓": " (is correct) ", "x": " (is correct) ", "✗": " (is wrong) ", " ": " (is wrong) "}
_NUMBERING = re.compile(r"^(\W{0,4})\d{1,2}[.)] (?=\S)", re.MULTILINE)
_DOTTED = re.compile(r"\b(?:[A-Z]\.){2,}")
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&nbsp;": " ", "&amp;": "&"}
_ENTITY = re.compile("|".join(_ENTITIES))
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_BOXES = r"\\f?box(?:ed)?\s?\{|<\|begin_of_box\|>"
_END_OF_TURN = re.compile(
    r"(?i:\n[ \t]{0,4}(?:user|human|question) ?:)|<\|(?:im_end|endoftext|eot_id|end|return|end_of_text)\|>|</s>"
    r"|<end_of_turn>"
)
# Markup without content. A box declares its content.
_MARKUP = re.compile(
    rf"(?P<box>{_BOXES})|~~[^~\n]{{1,100}}~~|<\|[^|<>\n]{{1,40}}\|>|</?[A-Za-z][^<>\n]{{0,80}}>"
    r"|\\(?:text|mathrm|textbf|mathbf|textit|rm|bf|mathsf|operatorname)\b\s?\{?|\\[()\[\]!,; ]|[*`$#]+|[{}_]+"
)
_NOT_APPLICABLE = re.compile(r"\bN/A\b|\bn/a\b")
_LINES = re.compile(r" ?\n\s*")
_BLANKS = re.compile(r"[ \t\r\f\v]+")


def unified(text: str) -> str:
    """The text with one form of every character (NFKC), without invisible ones, and with its entities resolved."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        text = "".join(
            c for c in text.translate(_SIGNS) if c.isascii() or unicodedata.category(c) not in ("Cf", "Co", "Cs")
        )
    if "&" in text:
        text = _ENTITY.sub(lambda match: _ENTITIES[match[0]], text)
    return text


def own_turn(text: str) -> tuple[str, str]:
    """The text up to the end of the model's turn, and what the model wrote after it."""
    end = _END_OF_TURN.search(text)
    if end is None or not text[: end.start()].strip():
        return text, ""
    return text[: end.start()], text[end.end() :].strip()


def plain(text: str) -> str:
    """The words of a unified text in English, without markup; a box becomes "Answer:"."""
    text = _LINES.sub("\n", _BLANKS.sub(" ", _INVISIBLE.sub("", text))).strip()
    text = read_tables(text)
    if "✓" in text or "✗" in text or "[ ]" in text:
        text = _TICKED_LINE.sub(lambda line: f"{line[1]}{line[4]}{_TICKS[(line[2] or line[3]).lower()]}", text)
        text = text.replace("✓", _TICKS["✓"]).replace("✗", _TICKS["✗"])
    text = _NUMBERING.sub(r"\1", text)
    text = _DOTTED.sub(lambda match: match[0].replace(".", ""), text)
    text = _MARKUP.sub(
        lambda match: " Answer: " if match.lastgroup else " " if match[0][0] in "<{}_" or match[0] == "\\ " else "",
        text,
    )
    if "/" in text:
        text = _NOT_APPLICABLE.sub("none", text)
    return _BLANKS.sub(" ", in_english(text)).strip()
