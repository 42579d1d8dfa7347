"""Update of a model card: one section of its text and the entries of one benchmark in its `model-index`.

Everything else stays as it is, character by character, comments of the metadata included: `huggingface_hub` would
rewrite all metadata. It builds the entries, and reads the updated card back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lmms_eval_shotbench.runs.scores_schema import BadRun

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

INDEX = "model-index"
BY_HAND = "correct it, or update the card by hand with the output without a card"


def updated_card(card: str, key: str, section: str, results: Sequence[EvalResult], model_name: str) -> str:
    """Return a model card with this section and these results, in place of earlier ones.

    Args:
        card: Content of the card; "" for a new one.
        key: Identifies the section. Without an earlier one the section is appended.
        section: Markdown.
        results: Entries of `model-index`; they replace those of the same data set, metric and name.
        model_name: Name of the model for a new `model-index`.

    Raises:
        BadRun: The card is not one that can be updated.
    """
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    newline = "\r\n" if "\r\n" in card else "\n"
    before, old, after, text = f"---{newline}", "", f"{newline}---{newline}", card
    found = REGEX_YAML_BLOCK.search(card)
    if found and not (found[1].endswith("\r") and found[3].startswith("\n")):  # not within one line break
        start, end = found.span(2)
        before, old, after, text = card[:start], card[start:end], card[end : found.end()], card[found.end() :]
    metadata = _with_results(old, results, model_name).replace("\r\n", "\n").replace("\n", newline)
    updated = before + metadata + after + _with_section(text, key, section.replace("\n", newline), newline)
    _read_back(updated, old, results)
    return updated


def _with_section(text: str, key: str, section: str, newline: str) -> str:
    begin, end = f"<!-- shotbench export: {key} -->", f"<!-- end of shotbench export: {key} -->"
    block = f"{begin}{newline}{section.strip()}{newline}{end}"
    if begin not in text and end not in text:
        gap = newline * (0 if not text.strip() else 1 if text.endswith(newline) else 2)
        return f"{text}{gap}{block}{newline}"
    head, _, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not closed or begin in rest or end in tail:
        raise BadRun(f"the model card has {begin!r} and its end not exactly once, in this order; {BY_HAND}")
    return head + block + tail


def _with_results(metadata: str, results: Sequence[EvalResult], model_name: str) -> str:
    """Return the YAML with these results; only the text of `model-index` changes."""
    import yaml
    from huggingface_hub.repocard_data import eval_results_to_model_index

    try:
        data, root = yaml.safe_load(metadata) or {}, yaml.compose(metadata, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise BadRun(f"the metadata of the model card is no valid YAML ({' '.join(str(error).split())})") from None
    index = data.get(INDEX) or [] if isinstance(data, dict) else None
    if not _is_index(index):
        raise BadRun(f"the metadata of the model card has no valid {INDEX}; {BY_HAND}")
    ours = eval_results_to_model_index(model_name, list(results))[0]["results"]
    model, *others = index or [{"name": model_name, "results": []}]
    model = model | {"results": [*_without(model["results"], results), *ours]}
    block: str = yaml.safe_dump({INDEX: [model, *others]}, sort_keys=False, allow_unicode=True, width=1000).strip()
    for name, value in root.value if root else ():
        if name.value == INDEX:
            start, end = name.start_mark.index, value.end_mark.index
            lines = metadata[start:end].splitlines(keepends=True)
            while lines and (not lines[-1].strip() or lines[-1].startswith("#")):  # they belong to what follows
                end -= len(lines.pop())
            newline = "\n" if metadata[start:end].endswith("\n") else ""
            return metadata[:start] + block + newline + metadata[end:]
    return f"{metadata.rstrip()}\n{block}" if metadata.strip() else block


def _is_index(index: Any) -> bool:
    return isinstance(index, list) and all(
        isinstance(model, dict)
        and isinstance(model.get("results"), list)
        and all(isinstance(one, dict) and isinstance(one.get("metrics"), list) for one in model["results"])
        for model in index
    )


def _without(existing: Sequence[dict[str, Any]], results: Sequence[EvalResult]) -> list[dict[str, Any]]:
    """Return existing results without the metrics that `results` replace."""
    replaced = {(one.dataset_type, one.metric_type, one.metric_name) for one in results}
    kept = []
    for one in existing:
        dataset = (one.get("dataset") or {}).get("type")
        metrics = [each for each in one["metrics"] if (dataset, each.get("type"), each.get("name")) not in replaced]
        kept += [one | {"metrics": metrics}] if metrics else []
    return kept


def _read_back(updated: str, old_metadata: str, results: Sequence[EvalResult]) -> None:
    """Raise `BadRun` if the card does not have the results, or other metadata than before."""
    import yaml
    from huggingface_hub import ModelCard
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    try:
        found = REGEX_YAML_BLOCK.search(updated)
        data, read = yaml.safe_load(found[2] if found else ""), ModelCard(updated).data.eval_results or []
    except (ValueError, yaml.YAMLError) as error:
        raise BadRun(f"the model card cannot be read back ({' '.join(str(error).split())}); {BY_HAND}") from None
    before = yaml.safe_load(old_metadata) or {}
    same = all(data.get(name) == before.get(name) for name in {*data, *before} - {INDEX})
    if not same or any(one not in read for one in results):
        raise BadRun(f"the model card cannot be updated without changing its other metadata; {BY_HAND}")
