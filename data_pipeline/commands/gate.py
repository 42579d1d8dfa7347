"""`--gate` and `--no-gate` of the commands that audit questions."""

from __future__ import annotations

import argparse


def add_gate(step: argparse.ArgumentParser, without: str) -> None:
    """Declare both options; `without` is the help text of `--no-gate`."""
    step.add_argument("--gate", type=float, help="points above chance that may be got blind (default: 5)")
    step.add_argument("--no-gate", action="store_true", help=without)


def margin_of(args: argparse.Namespace) -> float | None:
    """Maximum blind accuracy above chance as a fraction, or None for no gate; raises `ValueError` if invalid."""
    from data_pipeline.checks.blind_audit import MARGIN

    if args.no_gate:
        return None
    if args.gate is None:
        return MARGIN
    if not 0 <= args.gate <= 100:
        raise ValueError(f"--gate is {args.gate:g}; use points from 0 to 100, or --no-gate")
    return float(args.gate / 100)
