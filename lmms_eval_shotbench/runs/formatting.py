"""How lists and p values are printed, in messages and tables alike."""

from __future__ import annotations

from collections.abc import Sequence


def first_few(values: Sequence[object], most: int = 5, ellipsis: str = "…") -> str:
    """The first `most` values, separated by commas, and an ellipsis where there are more."""
    return ", ".join([*map(str, values[:most]), *([ellipsis] if len(values) > most else [])])


def p_text(p: float | None) -> str:
    """A p value with three decimals; a dash where there is none."""
    return "–" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"
