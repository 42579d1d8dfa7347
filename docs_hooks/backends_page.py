"""The generated tables of docs/backends.md: the presets, and what each family of models was shown when it was run.

`python -m docs_hooks.backends_page` writes them into the page, between the comments that name them; the rest of the
page is written by hand.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from docs_hooks.command_reference import cell
from lmms_eval_shotbench.harness.presets import Preset, preset_names, read_preset
from lmms_eval_shotbench.report.published import published_averages

DOCS = Path(__file__).parents[1] / "docs"
PAGE, RECORD = DOCS / "backends.md", DOCS / "model_families.json"
REGION = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def backends_page(text: str) -> str:
    """Return the page with its tables replaced by current ones."""
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {"runs": []}
    tables = {"presets": preset_table(record["runs"]), "families": family_table(record)}
    return REGION.sub(lambda found: found[1] + tables[found[2]] + found[3], text)


def preset_table(runs: list[Mapping[str, Any]]) -> str:
    """Return one row for the presets of each model of lmms-eval that are shown the same; `runs` are of the record."""
    groups = defaultdict[tuple[str, ...], list[str]](list)
    for preset in map(read_preset, preset_names()):
        shown = cell(preset.stills.in_full()), cell(preset.clips.in_full())
        published = published_averages(preset.paper)
        name = f"`{preset.name}`" + (f" ({published})" if published else "")
        groups[f"`{preset.model}`", f"{preset.max_new_tokens:,}", *shown, _ran(preset, runs)].append(name)
    rows = ["| presets (published) | `--model` | new tokens | a still is shown as | a clip is shown as | run here |"]
    rows.append("|---|---|---|---|---|---|")
    rows += [f"| {' | '.join([', '.join(names), *cells])} |" for cells, names in groups.items()]
    return "\n".join(rows) + "\n"


def _ran(preset: Preset, runs: list[Mapping[str, Any]]) -> str:
    """Return which media the preset's model was run on with a random checkpoint of its family."""
    for run in runs:
        if (run["family"], run["model"]) == (preset.family, preset.model):
            return " and ".join(kind for kind in ("stills", "clips") if run[kind]["ok"]) or "fails"
    return ""


def family_table(record: Mapping[str, Any]) -> str:
    """Return one row for each run of the record, below a line with the versions and media."""
    return "\n".join(_family_lines(record)) + "\n"


def _family_lines(record: Mapping[str, Any]) -> Iterator[str]:
    if record["runs"]:
        versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
        media = f"a still of {record['media']['still']} pixels; a clip of {record['media']['clip']}"
        yield f"Run on {record['date']} with {versions}, on {media}.\n"
    yield "| family | `--model` | a still | a clip |"
    yield "|---|---|---|---|"
    for run in record["runs"]:
        yield f"| {run['family']} | `{run['model']}` | {_outcome(run['stills'])} | {_outcome(run['clips'])} |"


def _outcome(medium: Mapping[str, Any]) -> str:
    if not medium["ok"]:
        return cell(f"fails: {medium['error']}")
    size = f" × {medium['size']}" if medium["size"] else ""  # unknown where only patches arrive
    return f"{medium['pictures']}{size}, {medium['tokens']:,} tokens"


if __name__ == "__main__":
    PAGE.write_text(backends_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
