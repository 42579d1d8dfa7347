"""Measure the report's page in headless Chromium: first view, filtering, size and memory with 3,572 items.

    python benchmarks/report.py [--limit N] [--repeat N] [--json]

The page shows two real models' stored responses to the real questions. *bare* is the page that `shotbench report`
writes for a test.tsv; *full* also has a drawn picture for every medium, up to the size limit of the page.

*first view* is the first contentful paint and *ready* the time at which the explorer is usable, both from the start of
navigation. *filter* is the time from the input event to the next painted frame: median and maximum over the filters
below, after the *first search*, which indexes all responses. *heap* is the JavaScript heap after garbage collection.
The browser starts once; every round reloads the page. "Theirs" is not a measurement but the limit we set ourselves.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from grading import real_data
from machine import Figures, figure, machine, print_figure, print_json
from stand_in_media import valid_medium

from lmms_eval_shotbench.report.assemble import assemble
from lmms_eval_shotbench.report.charts import all_charts
from lmms_eval_shotbench.report.explorer import MB, ExplorerParts, explorer_parts, explorer_records
from lmms_eval_shotbench.report.gather import ReportRun, read_report_run
from lmms_eval_shotbench.report.numbers import report_numbers
from lmms_eval_shotbench.report.page import page
from lmms_eval_shotbench.report.thumbnails import ThumbnailSource, thumbnails
from lmms_eval_shotbench.report.write import THUMBNAILS_MB

RESPONSES = ("shotbench.shotvl-3b.reasoning", "shotbench.qwen2.5-vl-3b.direct")
FILTERS = ("run0=wrong", "differ=1", "prior=wrong", "q=w", "q=wi", "q=wide", "q=wide+angle", "q=nobody+says", "")
FIRST_SEARCH = "q=because"
LIMITS = {"first view, ms": 1500.0, "ready, ms": 1500.0, "filter, ms": 100.0, "size, MB": 15.0}

APPLY = """const [filters, done] = arguments;
const form = document.querySelector(".explorer-filters"), asked = new URLSearchParams(filters);
for (const one of form.elements) {
  if (one.type === "checkbox") one.checked = asked.has(one.name); else one.value = asked.get(one.name) ?? "";
}
const start = performance.now();
form.dispatchEvent(new Event("input"));
requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));"""
FIRST_VIEW = """const done = arguments[0];
new PerformanceObserver((seen, observer) => {
  const painted = seen.getEntriesByName("first-contentful-paint")[0];
  if (!painted) return;
  observer.disconnect();
  done([painted.startTime, performance.getEntriesByName("explorer-ready")[0].startTime]);
}).observe({type: "paint", buffered: true});"""


class Round(NamedTuple):
    """Measurements of one load of the page."""

    view: float  # milliseconds
    ready: float
    first_search: float
    filters: list[float]
    heap: float  # megabytes


def write_pages(runs: Sequence[ReportRun], folder: Path) -> dict[str, Path]:
    """Write the page without pictures and with as many as its size limit allows; return the paths by name."""
    numbers, names = report_numbers(assemble(runs)), [run.name for run in runs]
    charts = all_charts(numbers)
    records = explorer_records(runs)
    media = {
        item.medium: ThumbnailSource(item.media_kind, partial(valid_medium, item.media_kind, number))
        for number, item in enumerate(runs[0].items)
    }
    pages = {}
    for name, pictures in (("bare", {}), ("full", thumbnails(media, round(THUMBNAILS_MB * MB)))):
        pages[name] = folder / f"{name}.html"
        html = page(numbers, charts, explorer_parts(names, records, pictures), ExplorerParts())
        pages[name].write_text(html, encoding="utf-8")
    return pages


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless Chromium."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for option in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900"):
        options.add_argument(option)
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield browser
    finally:
        browser.quit()


def measure(browser: Any, path: Path) -> Round:
    """Load a page, apply all filters and measure the heap."""
    browser.get("about:blank")
    browser.get(path.as_uri())
    view, ready = browser.execute_async_script(FIRST_VIEW)
    first_search = browser.execute_async_script(APPLY, FIRST_SEARCH)
    filters = [browser.execute_async_script(APPLY, one) for one in FILTERS]
    browser.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    heap = browser.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"] / MB
    return Round(view, ready, first_search, filters, heap)


def summarize(name: str, path: Path, rounds: Sequence[Round]) -> Figures:
    """Print a summary of the rounds; return the figures that have a limit."""
    ours: Mapping[str, float] = {
        "first view, ms": median(one.view for one in rounds),
        "ready, ms": median(one.ready for one in rounds),
        "filter, ms": median(time for one in rounds for time in one.filters),
        "size, MB": path.stat().st_size / MB,
    }
    figures = {f"{name}: {what}": figure(value, LIMITS[what]) for what, value in ours.items()}
    for what, values in figures.items():
        print_figure(what, values)
    longest = max(time for one in rounds for time in one.filters)
    search, heap = median(one.first_search for one in rounds), median(one.heap for one in rounds)
    print(f"{name}: longest filter {longest:.0f} ms, first search {search:.0f} ms, heap {heap:.1f} MB")
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--limit", type=int, help="so many questions (default: all 3,572)")
    parser.add_argument("--repeat", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    args = parser.parse_args(arguments)
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        parser.error("needs chromium and its driver: apt-get install chromium chromium-driver")
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="report-benchmark-") as folder, chromium() as browser:
        pages = write_pages(read_runs(real_data(), args.limit, Path(folder)), Path(folder))
        print(f"{machine()}\nChromium {browser.capabilities['browserVersion']}, {args.limit or 3572:,} items, two runs")
        for name, path in pages.items():
            figures |= summarize(name, path, [measure(browser, path) for _ in range(args.repeat)])
    if args.json:
        print_json(figures)
    return 0


def read_runs(data: Path, limit: int | None, folder: Path) -> list[ReportRun]:
    """The stored responses, or the first `limit` of each."""
    import gzip

    runs = []
    for name in RESPONSES:
        with gzip.open(data / "responses" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            (folder / f"{name}.jsonl").write_text("".join(list(lines)[:limit]), encoding="utf-8")
        runs.append(read_report_run(folder / f"{name}.jsonl", str(data / "shotbench/test.tsv")))
    return runs


if __name__ == "__main__":
    sys.exit(main())
