"""The tags of thoughts and of final answers that models use: data only; `thoughts.py` applies it.

A pair is an opening and a closing text. Case and blanks inside angle brackets are ignored. A pair of Markdown headings
(`## Reasoning`, `## Answer`) is a thought only if both occur, each on its own line.

To support another model, add its pair here, or give it on the command line.
"""

from __future__ import annotations

ReasoningTags = tuple[tuple[str, str], ...]

_ELEMENTS = ("think", "thinking", "thought", "thoughts", "reason", "reasoning", "analysis", "rationale", "reflection")
_HEADINGS = ("Reasoning", "Thinking", "Thought process", "Analysis", "Step-by-step reasoning", "Explanation")

REASONING_TAGS: ReasoningTags = (
    *((f"<{name}>", f"</{name}>") for name in (*_ELEMENTS, "scratchpad", "seed:think", "antThinking")),
    ("[THINK]", "[/THINK]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis", "<|channel|>final"),  # gpt-oss
    ("<|channel|>analysis", "assistantfinal"),  # gpt-oss without its special tokens
    ("<|channel>thought", "<channel|>"),  # Gemma
    ("<tool_call>", "</tool_call>"),  # not a thought, but not an answer either
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Cohere
    *((f"## {opening}", f"## {closing}") for opening in _HEADINGS for closing in ("Answer", "Final answer")),
)

# Elements that may also follow an answer, which they explain; a <think> after an answer discards it.
EXPLANATIONS = frozenset({"<reason>", "<reasoning>", "<analysis>", "<rationale>", "<reflection>"})

ANSWER_TAGS: ReasoningTags = (
    *((f"<{name}>", f"</{name}>") for name in ("answer", "final_answer", "final answer", "conclusion", "solution")),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("[BEGIN FINAL RESPONSE]", "[END FINAL RESPONSE]"),  # Apriel
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
)
