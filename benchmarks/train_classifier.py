"""Train a small image classifier on the stills of one dimension, for `--model image_classifier`.

    python benchmarks/train_classifier.py SHARDS --dimension shot_size --out FOLDER [--epochs 40] [--width 160]

A ResNet of transformers with half a million parameters is trained from scratch on the correct options of the split
`sft`, with a few hundred stills in a minute of one core. FOLDER gets the checkpoint and `labels.toml`. Then:

    shotbench eval --data SHARDS --tasks shotbench_shot_size --out RUN \
        --model image_classifier --model_args pretrained=FOLDER,labels=FOLDER/labels.toml
    shotbench compare RUN OTHER_RUN --common
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import torch

from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.questions.shards import ShardFolder, locate_shards
from lmms_eval_shotbench.vocabulary import OPPOSITES, Dimension, MediaKind, View, dimension_named

SEED, BATCH, LEARNING_RATE, WEIGHT_DECAY = 27, 16, 3e-3, 0.05
PADDING = 4  # pixels; a picture is shifted by up to so many in training
WIDTHS = (24, 48, 96, 160)  # channels of the four stages


def main() -> None:
    """Train a classifier and write it with its file of labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", help="folder of shards or Hub id")
    parser.add_argument("--dimension", required=True, help="slug of a dimension of stills")
    parser.add_argument("--split", default="sft", help="split to train on (default: sft)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--epochs", type=int, default=40, help="passes over the stills (default: 40)")
    parser.add_argument("--width", type=int, default=160, help="width of the pictures in pixels (default: 160)")
    arguments = parser.parse_args()
    dimension = dimension_named(arguments.dimension)
    if dimension.media_kind is not MediaKind.STILL:
        parser.error(f"{dimension.slug} has clips; this trains an image classifier")
    started = time.process_time()
    processor = _processor(arguments.width)
    pictures, names = _stills(arguments.shards, arguments.split, dimension, processor)
    classes = sorted(set(names))
    model = _model(classes)
    targets = torch.tensor([classes.index(name) for name in names])
    right = _train(model, pictures, targets, arguments.epochs, mirrored=_keeps_classes(dimension))
    model.save_pretrained(arguments.out)
    processor.save_pretrained(arguments.out)
    (arguments.out / "labels.toml").write_text(_label_map(dimension, classes), encoding="utf-8")
    print(
        f"{len(names):,} stills, {len(classes)} classes, {model.num_parameters():,} parameters, "
        f"{100 * right:.1f} % of the last epoch right, {time.process_time() - started:.0f} s of processor time"
    )


def _processor(width: int) -> Any:
    from transformers import ViTImageProcessor

    return ViTImageProcessor(size={"height": width * 9 // 16, "width": width})


def _stills(shards: str, split: str, dimension: Dimension, processor: Any) -> tuple[torch.Tensor, list[str]]:
    """Return the pixels of the stills, of shape [n, 3, height, width], and the names of their classes."""
    folder = ShardFolder(locate_shards(shards), split)
    items = [item for item in folder.items() if item.dimension == dimension.slug]
    if not items:
        raise SystemExit(f"{shards}: no question of {dimension.slug} in split {split}")
    pixels = [processor(open_still(folder.media(item.item_id)), return_tensors="pt")["pixel_values"] for item in items]
    return torch.cat(pixels), [str(dimension.canonical(dimension.parse(item.gold))) for item in items]


def _model(classes: list[str]) -> Any:
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(SEED)
    return ResNetForImageClassification(
        ResNetConfig(
            embedding_size=WIDTHS[0],
            hidden_sizes=list(WIDTHS),
            depths=[1, 1, 1, 1],
            layer_type="basic",
            id2label=dict(enumerate(classes)),
            label2id={name: index for index, name in enumerate(classes)},
        )
    )


def _keeps_classes(dimension: Dimension) -> bool:
    """Whether a mirrored picture has the same term: no term of the dimension has a left or a right."""
    words = {word for term in dimension.terms for word in term.name.lower().split()}
    return not words & OPPOSITES[View.MIRRORED].keys()


def _train(model: Any, pictures: torch.Tensor, targets: torch.Tensor, epochs: int, mirrored: bool) -> float:
    """Train by AdamW with one cycle of the learning rate; return the accuracy in the last epoch."""
    steps = epochs * math.ceil(len(targets) / BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    model.train()
    right = 0
    for _ in range(epochs):
        right = 0
        for rows in torch.randperm(len(targets)).split(BATCH):
            shown = _shifted(pictures[rows])
            if mirrored:
                flipped = torch.rand(len(rows)) < 0.5
                shown[flipped] = shown[flipped].flip(-1)
            output = model(shown, labels=targets[rows])
            optimizer.zero_grad()
            output.loss.backward()
            optimizer.step()
            schedule.step()
            right += int((output.logits.argmax(-1) == targets[rows]).sum())
    return right / len(targets)


def _shifted(pictures: torch.Tensor) -> torch.Tensor:
    """Return the pictures, all shifted by the same few pixels; their edges are repeated."""
    height, width = pictures.shape[-2:]
    padded = torch.nn.functional.pad(pictures, (PADDING,) * 4, mode="replicate")
    top, left = torch.randint(0, 2 * PADDING + 1, (2,)).tolist()
    return padded[..., top : top + height, left : left + width].clone()


def _label_map(dimension: Dimension, classes: list[str]) -> str:
    """Return the file of labels; a class of several terms stands for each of them."""
    lines = [f"[{dimension.slug}]"]
    for name in classes:
        terms = [term.name for term in dimension.terms if term in dimension.parse(name).terms]
        lines.append(f"{json.dumps(name)} = {json.dumps(terms if len(terms) > 1 else terms[0])}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
