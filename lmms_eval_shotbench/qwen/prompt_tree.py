"""Log-probabilities of many continuations of a few prompts about one medium, in two forward passes.

The prompts begin with the same tokens, which include the medium: the trunk. It is prefilled once per medium. What
follows it, the rest of each prompt and its continuations, is a tree, and all its tokens are run in one pass: each
attends to the trunk and to its own ancestors, at the position that it has in its own text. The result is that of a
forward pass per prompt and continuation; nothing is padded and no cache is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from lmms_eval_shotbench.qwen.decoding import Prefilled

TRUNK = -1  # in place of a node: the last token of the trunk


class Branch(NamedTuple):
    """A prompt and its continuations, as token ids."""

    prompt: Sequence[int]
    continuations: Sequence[Sequence[int]]


class PromptTree:
    """Prompts and continuations that share their beginnings.

    Attributes:
        trunk: Token ids that all prompts begin with; continuations are not part of it.
        tokens: Token id of each node. The last token of a continuation needs no node, because nothing follows it.
        parents: Index of the node before each node, or `TRUNK`; a parent precedes its children.
        depths: Number of ancestors of each node.
        paths: For each continuation, in order: the node before each of its tokens, and the token.
    """

    def __init__(self, branches: Sequence[Branch]) -> None:
        """Build the tree of one or more branches; no prompt and no continuation may be empty."""
        in_step = zip(*(branch.prompt for branch in branches), strict=False)
        self.trunk = [tokens[0] for tokens in takewhile(lambda tokens: len(set(tokens)) == 1, in_step)]
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self.paths: list[list[tuple[int, int]]] = []
        self._nodes: dict[tuple[int, int], int] = {}  # by parent and token
        for prompt, continuations in branches:
            start = TRUNK
            for token in prompt[len(self.trunk) :]:
                start = self._node(start, token)
            self.paths += [self._path(start, continuation) for continuation in continuations]

    def _path(self, start: int, continuation: Sequence[int]) -> list[tuple[int, int]]:
        before, path = start, list[tuple[int, int]]()
        for token in continuation:
            before = before if not path else self._node(*path[-1])
            path.append((before, token))
        return path

    def _node(self, parent: int, token: int) -> int:
        if (parent, token) not in self._nodes:
            self._nodes[parent, token] = len(self.tokens)
            self.tokens.append(token)
            self.parents.append(parent)
            self.depths.append(0 if parent == TRUNK else self.depths[parent] + 1)
        return self._nodes[parent, token]

    @cached_property
    def predicting(self) -> list[int]:
        """The nodes that a token of a continuation follows, ascending; `TRUNK` may be the first."""
        return sorted({before for path in self.paths for before, _token in path})

    @cached_property
    def ancestors(self) -> torch.Tensor:
        """Whether a node (row) may attend to a node (column): itself and its ancestors; bool (nodes, nodes)."""
        allowed = torch.eye(len(self.tokens), dtype=torch.bool)
        for node, parent in enumerate(self.parents):
            if parent != TRUNK:
                allowed[node] |= allowed[parent]
        return allowed


def log_probabilities(model: Any, rows: Prefilled, tree: PromptTree) -> torch.Tensor:
    """Return the log-probability of each continuation, summed over its tokens.

    Args:
        model: A Qwen-VL of transformers whose text model attends by `sdpa`, and whose `Architecture` forks.
        rows: The trunk with one medium per row; its cache is extended.
        tree: The prompts and their continuations.

    Returns:
        float32 (rows, continuations), on the CPU, in the order of `tree.paths`.
    """
    logits = _logits(model, rows, tree)
    column = {node: number for number, node in enumerate(tree.predicting)}
    before = torch.tensor([column[node] for path in tree.paths for node, _token in path], device=logits.device)
    tokens = torch.tensor([token for path in tree.paths for _node, token in path], device=logits.device)
    # One position at a time: a float32 copy of all logits of a released checkpoint would take gigabytes.
    totals = torch.stack([one.float().logsumexp(dim=-1) for one in logits.unbind(1)], dim=1)
    found = (logits[:, before, tokens].float() - totals[:, before]).cpu()
    return torch.stack([one.sum(dim=1) for one in found.split([len(path) for path in tree.paths], dim=1)], dim=1)


def _logits(model: Any, rows: Prefilled, tree: PromptTree) -> torch.Tensor:
    """Return the logits after each node of `tree.predicting`, of shape (rows, nodes, vocabulary)."""
    from_trunk = [rows.logits[:, None]] if TRUNK in tree.predicting else []
    nodes = [node for node in tree.predicting if node != TRUNK]
    if not nodes:
        return rows.logits[:, None]
    count, device = len(rows.ids), rows.ids.device
    to_trunk = rows.mask.bool()[:, None, :].expand(-1, len(tree.tokens), -1)
    to_tree = tree.ancestors.to(device).expand(count, -1, -1)
    output = model(
        input_ids=torch.tensor(tree.tokens, device=device).expand(count, -1),
        attention_mask=torch.cat([to_trunk, to_tree], dim=2)[:, None],
        position_ids=(rows.ahead[:, None] + torch.tensor(tree.depths, device=device)).expand(3, -1, -1),
        past_key_values=rows.cache,
        use_cache=True,
        logits_to_keep=torch.tensor(nodes, device=device),
    )
    return torch.cat([*from_trunk, output.logits], dim=1)
