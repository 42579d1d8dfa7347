"""Token counts with a stop reason, which lmms-eval logs with a response but has no field for."""

from __future__ import annotations

from lmms_eval.api.instance import TokenCounts


class CountsAndReason(TokenCounts):  # type: ignore[misc]
    """Lengths of prompt and response in tokens, and why generation ended ("length", "stop"; "" if unknown)."""

    def __init__(self, input_tokens: int | None, output_tokens: int | None, finish_reason: str) -> None:
        super().__init__(input_tokens, output_tokens)
        self.finish_reason = finish_reason

    def to_dict(self) -> dict[str, int | str]:
        """Return the entries that lmms-eval logs (`token_counts` of a sample)."""
        counts: dict[str, int | str] = super().to_dict()
        return counts | ({"finish_reason": self.finish_reason} if self.finish_reason else {})
