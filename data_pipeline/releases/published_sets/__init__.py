"""Readers of published question sets other than ShotBench and ShotQA, one module and one table of classes each."""
