"""`shotbench data audit`: audit a shard folder before it is used for training or evaluation."""

from __future__ import annotations

import argparse

from data_pipeline.commands.console import print_error
from data_pipeline.commands.gate import add_gate, margin_of
from data_pipeline.workers import Workers
from lmms_eval_shotbench.commands.shared_arguments import out_file


def add(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    step = steps.add_parser("audit", help="check finished shards: media, blind accuracy, duplicates, splits, benchmark")
    step.add_argument("shards", metavar="SHARDS", help="shard folder or Hub id")
    step.add_argument("--against", metavar="SHARDS", action="append", default=[], help="whose pictures must not be in")
    add_gate(step, "report blind accuracy, but fail nothing for it")
    step.add_argument("--report", metavar="FILE", type=out_file, help="write all figures there, as JSON")
    Workers.add_arguments(step)
    step.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Audit and print the figures; returns 1 if a check fails."""
    from data_pipeline.checks.audit import audit_shards
    from data_pipeline.shards.full_disk import write_output

    report = audit_shards(args.shards, args.against, margin_of(args), Workers.of(args))
    if args.report:
        write_output(args.report, report.to_json())
    print(f"{args.shards}: {report.questions:,} questions on {report.media:,} media\n")
    print(report.to_markdown().replace("All figures are in `audit.json`.", "").strip())
    for failure in report.failures:
        print_error(failure)
    return int(bool(report.failures))
