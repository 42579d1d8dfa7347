"""The last figures of a training run as lines of text: progress, reward or loss, accuracy, steps that went wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from statistics import fmean

from lmms_eval_shotbench.vocabulary import slugs
from verl_recipes.run.run_folder import RunFolder

RECENT = 10  # steps whose mean duration is shown
ACCURACY = {"training": r"train/acc/(\w+)", "validation": r"val-core/.+/(\w+)/acc/mean@\d+"}
Values = Mapping[str, float]


def figures(folder: RunFolder, logged: Mapping[int, Values]) -> Iterator[str]:
    """Yield lines with the last figures of a run.

    Args:
        folder: Folder of the run.
        logged: Its metrics, as of `read_metrics`.
    """
    trained = {step: values for step, values in logged.items() if is_training_step(values)}
    if trained:
        step = max(trained)
        yield _progress(folder, trained)
        last = trained[step]
        names = {
            "reward": ("critic/rewards/mean",),
            "format": ("train/format",),
            "loss": ("train/loss",),
            "gradient norm": ("actor/grad_norm", "train/grad_norm"),
            "learning rate": ("actor/lr", "train/lr"),
            "response length": ("response_length/mean",),
            "groups with signal": ("train/groups_with_signal",),
        }
        shown = {label: last[key] for label, keys in names.items() for key in keys if key in last}
        yield ", ".join(f"{label} {value:.4g}" for label, value in shown.items())
        if "train/nonfinite_steps" in last:
            yield f"steps without a finite gradient norm: {last['train/nonfinite_steps']:.0f} since the last start"
        if lost := sum(values.get("train/responses_lost", 0) for values in trained.values()):
            yield f"responses lost: {last.get('train/responses_lost', 0):.0f} in this step, {lost:.0f} in all"
    for kind, pattern in ACCURACY.items():
        yield from _accuracy(kind, logged, pattern)
    losses = [(step, values["val/loss"]) for step, values in logged.items() if "val/loss" in values]
    if losses:
        yield f"validation loss {losses[-1][1]:.4g} (step {losses[-1][0]})"


def is_training_step(values: Values) -> bool:
    """Whether the metrics of a step are not only those of a validation."""
    return any(key in values for key in ("actor/grad_norm", "train/loss", "critic/rewards/mean"))


def _progress(folder: RunFolder, trained: Mapping[int, Values]) -> str:
    step, total = max(trained), _total_steps(folder)
    text = f"step {step:,} of {total:,}" if total else f"step {step:,}"
    seconds = _seconds_per_step(folder, trained)
    if seconds is not None:
        text += f", {seconds:.3g} s a step"
        if total and total > step and not folder.finished.exists():
            text += f", about {duration((total - step) * seconds)} left"
    return text


def _seconds_per_step(folder: RunFolder, trained: Mapping[int, Values]) -> float | None:
    """Mean duration of the last steps, validation included; SFT logs none, so it is that of the last start's steps."""
    timed = [
        values["timing_s/step"] + values.get("timing_s/testing", 0)
        for values in trained.values()
        if "timing_s/step" in values
    ]
    if timed:
        return fmean(timed[-RECENT:])
    metrics = folder.metrics(folder.next_attempt() - 1)
    if not (metrics.is_file() and folder.command.is_file()):
        return None
    with metrics.open("rb") as lines:
        steps = sum(1 for _ in lines)
    elapsed = metrics.stat().st_mtime - folder.command.stat().st_mtime
    return elapsed / steps if steps and elapsed > 0 else None


def _total_steps(folder: RunFolder) -> int | None:
    """Number of steps of the complete run, from its configuration and rows, or None if these cannot be read."""
    import pyarrow.parquet as parquet
    from omegaconf import OmegaConf

    from verl_recipes.preflight import batches
    from verl_recipes.preflight.training_files import named_files

    try:
        config = OmegaConf.load(folder.config)
        rows = sum(parquet.read_metadata(path).num_rows for path in named_files(config, "train"))
        return batches.training_steps(config, batches.rows_used(config, "train", rows)).steps
    except Exception:  # a configuration by hand, or rows that are gone: only the total is missing
        return None


def _accuracy(kind: str, logged: Mapping[int, Values], pattern: str) -> Iterator[str]:
    """Yield one line with the last accuracy of each dimension in percent."""
    found: dict[str, tuple[int, float]] = {}
    for step, values in logged.items():
        for key, value in values.items():
            if match := re.fullmatch(pattern, key):
                found[match[1]] = (step, value)
    if found:
        last = max(step for step, _ in found.values())
        parts = [
            f"{name.replace('_', ' ')} {100 * found[name][1]:.1f}{_of_step(found[name][0], last)}"
            for name in (*slugs(), "mean")
            if name in found
        ]
        yield f"accuracy in {kind}, % (step {last}): {', '.join(parts)}"


def _of_step(step: int, last: int) -> str:
    return "" if step == last else f" (step {step})"


def duration(seconds: float) -> str:
    """Format a duration with one or two units."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min"
    return (
        f"{seconds / 3600:.0f} h {seconds % 3600 // 60:.0f} min" if seconds < 172_800 else f"{seconds / 86400:.0f} days"
    )
