"""The in-place cache and attention give the same results as those of transformers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from lmms_eval_shotbench.qwen.kv_cache import GROWTH, GrowingLayer, concatenate_caches, sdpa_in_place


def states(rows: int, tokens: int, seed: int) -> torch.Tensor:
    return torch.randn((rows, 2, tokens, 8), generator=torch.Generator().manual_seed(seed))


def add(layers: list[DynamicLayer], rows: int, tokens: int, seed: int) -> None:
    for layer in layers:
        layer.update(states(rows, tokens, seed), states(rows, tokens, seed + 1000))


def assert_same(ours: DynamicLayer, theirs: DynamicLayer) -> None:
    assert torch.equal(ours.keys, theirs.keys)
    assert torch.equal(ours.values, theirs.values)
    assert ours.get_seq_length() == theirs.get_seq_length()


def test_a_cache_that_exceeds_its_buffer_keeps_all_tokens() -> None:
    layers = [GrowingLayer(), DynamicLayer()]
    add(layers, rows=3, tokens=5, seed=0)
    for seed in range(1, 2 * GROWTH + 10):
        add(layers, rows=3, tokens=1, seed=seed)
        assert_same(*layers)


def test_a_token_is_appended_without_copying_the_others() -> None:
    layer = GrowingLayer()
    add([layer], rows=3, tokens=5, seed=0)
    before = layer.keys.data_ptr(), layer.values.data_ptr()
    for seed in range(1, GROWTH + 1):
        add([layer], rows=3, tokens=1, seed=seed)
    assert (layer.keys.data_ptr(), layer.values.data_ptr()) == before


@pytest.mark.parametrize("kept", [[0, 2], [2, 1, 0]], ids=["fewer rows", "other order"])
def test_selecting_rows_selects_their_tokens(kept: list[int]) -> None:
    layers = [GrowingLayer(), DynamicLayer()]
    add(layers, rows=3, tokens=5, seed=0)
    for layer in layers:
        layer.batch_select_indices(torch.tensor(kept))
    for seed in range(1, 4):
        add(layers, rows=len(kept), tokens=1, seed=seed)
        assert_same(*layers)


def test_caches_of_single_prompts_are_concatenated_right_aligned() -> None:
    lengths, caches = (7, 4), []
    for seed, length in enumerate(lengths):
        cache = DynamicCache()
        for number in range(3):
            cache.update(states(1, length, seed + number), states(1, length, seed + number + 50), number)
        caches.append(cache)
    cache = concatenate_caches(caches, length=9)
    assert [layer.get_seq_length() for layer in cache.layers] == [9, 9, 9]
    for number, layer in enumerate(cache.layers):
        for row, length in enumerate(lengths):
            assert torch.equal(layer.keys[row, :, -length:], states(1, length, row + number)[0])
            assert torch.equal(layer.values[row, :, -length:], states(1, length, row + number + 50)[0])


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("padded", [False, True], ids=["unpadded", "padded"])
def test_grouped_query_attention_equals_that_of_transformers(tokens: int, padded: bool) -> None:
    known, layer = 40, SimpleNamespace(num_key_value_groups=4, is_causal=True)
    query = torch.randn((3, 8, tokens, 8), generator=torch.Generator().manual_seed(9))
    mask = torch.ones(3, 1, tokens, known, dtype=torch.bool) if padded else None
    if mask is not None:
        mask[1, ..., :11] = False
    given = (query, states(3, known, 1), states(3, known, 2), mask)
    ours, theirs = (attend(layer, *given, scaling=0.3)[0] for attend in (sdpa_in_place, sdpa_attention_forward))
    assert ours.shape == (3, tokens, 8, 8)
    torch.testing.assert_close(ours, theirs)
