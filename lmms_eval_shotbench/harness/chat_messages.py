"""The chat that is handed to a model of lmms-eval."""

from __future__ import annotations

from typing import Any, SupportsIndex


class ChatMessages(list[dict[str, Any]]):
    """A chat that stays at one system message.

    lmms-eval 0.7.3's `qwen3_vl` and `qwen3_5` insert "You are a helpful assistant." before every chat, also before one
    that begins with a system message. The template of Qwen3-VL then drops the second one, the text of the prompt style;
    that of Qwen3.5 raises "System message must be at the beginning".
    """

    def insert(self, index: SupportsIndex, message: dict[str, Any]) -> None:
        """Insert a message, unless it is a second system message."""
        if message["role"] != "system" or not any(one["role"] == "system" for one in self):
            super().insert(index, message)
