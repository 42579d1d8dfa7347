"""What models wrote as data inside the page: where nothing in it can end the element, and of bounded size."""

from __future__ import annotations

import json
from collections.abc import Iterable

LONGEST_RESPONSE = 20_000  # characters shown of one response


def shared_limit(responses: Iterable[str], budget: int) -> int:
    """How many bytes each response may take, so that all together take at most `budget`: only the longest are cut."""
    rest, lengths = budget, sorted(map(_weight, responses))
    for place, length in enumerate(lengths):
        even = rest // (len(lengths) - place)
        if length > even:
            return even
        rest -= length
    return lengths[-1] if lengths else 0


def cut_response(response: str, limit: int) -> str:
    """The beginning of a response: at most 20,000 characters, and at most `limit` bytes in the page."""
    shown = response[:LONGEST_RESPONSE]
    while shown and (weight := _weight(shown)) > limit:
        shown = shown[: len(shown) * limit // weight]
    return shown


def _weight(response: str) -> int:
    """Bytes in the page of what may be shown of a response."""
    return len(script_json(response[:LONGEST_RESPONSE]).encode())


_ESCAPED = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def script_json(value: object) -> str:
    """JSON that nothing in it can end: safe inside a script element. Broken characters become question marks."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_ESCAPED).encode("utf-8", "replace").decode()
