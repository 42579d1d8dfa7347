"""Absolute paths lose their folders in exported text; addresses, ids of the Hub and relative paths stay."""

from __future__ import annotations

import pytest

from lmms_eval_shotbench.export.local_paths import without_folders


@pytest.mark.parametrize(
    ("text", "shortened"),
    [
        ("--data /home/anna/shards/ --out ~/runs/x", "--data shards/ --out x"),
        ("--out=/scratch/run,device=cpu ~anna/films/a.mp4", "--out=run,device=cpu a.mp4"),
        ("""--model_args '{"pretrained": "/mnt/weights/grpo"}'""", """--model_args '{"pretrained": "grpo"}'"""),
        ("decoded (/tmp/a/b.mp4): file:///home/anna/c.tsv", "decoded (b.mp4): c.tsv"),
        ("'/home/anna/my films/a.mp4' '--data=/home/anna b/x'", "'a.mp4' '--data=x'"),
        ("/home/anna/[take 1].mp4 /home/anna/(1)/#2 /home/anna/größe.mp4", "[take 1].mp4 #2 größe.mp4"),
    ],
)
def test_an_absolute_path_is_shortened_to_its_last_part(text: str, shortened: str) -> None:
    assert without_folders(text) == shortened


@pytest.mark.parametrize(
    "text",
    [
        "base_url=http://localhost:8000/v1/models,timeout=60",
        "--data s3://archive/shards hf://datasets/film/shots",
        "pretrained=Vchitect/ShotVL-3B runs/grpo/merged ../shards ./a.tsv",
        "12 / 24 frames, 24/7, and/or, /",
    ],
)
def test_other_slashes_stay(text: str) -> None:
    assert without_folders(text) == text
