"""Formatting of lists and p values in messages and tables."""

from __future__ import annotations

from collections.abc import Sequence


def first_few(values: Sequence[object], most: int = 5, ellipsis: str = "…") -> str:
    """Return the first `most` values, separated by commas, with an ellipsis if there are more."""
    return ", ".join([*map(str, values[:most]), *([ellipsis] if len(values) > most else [])])


def p_text(p: float | None) -> str:
    """Format a p value with three decimals, or None as a dash."""
    return "–" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"
