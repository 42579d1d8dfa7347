"""Rows of published sets in the layout of their files, with the published numbers of labels and answers.

Owns the dealing of labels to clips, and the spellings. Labels are random and the media show nothing of them, so scores
are meaningless. Of ACaM-Bench's 17 classes only "Tracking" is known, and neither are the names of its fields nor the
rows of CamReasoner's training file. The files are written in `stand_in_sets.py`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data_pipeline.releases.published_sets.class_table import SetClass

# Labels of CameraBench's test.jsonl with their numbers of clips. Each clip has one of each of the first three.
STEADINESS = {"static": 97, "no-shaking": 422, "minimal-shaking": 299, "unsteady": 197, "very-unsteady": 56}
PRESENCE = {"no-motion": 187, "minor-motion": 32, "complex-motion": 852}
SPEED = {"regular-speed": 940, "slow-speed": 79, "fast-speed": 52}
MOVEMENTS = {
    **{"dolly-in": 205, "dolly-out": 71, "truck-left": 67, "truck-right": 96, "pedestal-up": 63, "pedestal-down": 77},
    **{"pan-left": 105, "pan-right": 93, "tilt-up": 69, "tilt-down": 52, "roll-CW": 42, "roll-CCW": 51},
    **{"zoom-in": 54, "zoom-out": 49, "arc-CW": 60, "arc-CCW": 62, "side-tracking": 68, "pan-tracking": 44},
    **{"aerial-tracking": 37, "tail-tracking": 36, "lead-tracking": 26, "arc-tracking": 12, "tilt-tracking": 14},
}
# Answers Yes and No of CamReasoner's camerabench_binary.json.
YES_NO = {
    **{"Move_Down": (37, 393), "Move_In": (161, 388), "Move_Left": (56, 432), "Move_Out": (53, 496)},
    **{"Move_Right": (77, 410), "Move_Up": (29, 401), "Pan_Left": (79, 433), "Pan_Right": (77, 435)},
    **{"Roll_Clockwise": (42, 428), "Roll_Counterclockwise": (48, 422), "Static": (94, 872), "Tilt_Down": (35, 421)},
    **{"Tilt_Up": (58, 400), "Zoom_In": (50, 400), "Zoom_Out": (46, 406)},
}
BINARY_CLIPS = 969
TRAINING_ROWS = 38_000
SINGLE_CLIPS = 105  # of CineTechBench's 120, those with one movement
ACAM_CLASSES = [
    *("Dolly_in", "Dolly_out", "Truck_left", "Truck_right", "Pedestal_up", "Pedestal_down", "Pan_left", "Pan_right"),
    *("Tilt_up", "Tilt_down", "Roll_cw", "Roll_ccw", "Zoom_in", "Zoom_out", "Static", "Tracking", "Arc"),
]
Row = dict[str, Any]


def camerabench_rows(rng: random.Random) -> list[Row]:
    """All rows of test.jsonl, in random order."""
    labels = [[*some] for some in zip(_deck(STEADINESS), _still_first(rng), strict=True)]
    moving = [some for some in labels if some[1] != "no-motion"]
    movements = _deck(MOVEMENTS)
    rng.shuffle(movements)
    for movement in movements:
        fewest = min((some for some in moving if movement not in some), key=lambda some: len(some) + 3 * rng.random())
        fewest.append(movement)
    rng.shuffle(labels)
    speeds = _deck(SPEED)
    rng.shuffle(speeds)
    return [
        _camerabench_row(number, [first, second, speed, *movements])
        for number, ((first, second, *movements), speed) in enumerate(zip(labels, speeds, strict=True))
    ]


def has_one_movement(row: Row) -> bool:
    """Whether a row of CameraBench is certainly a question: one movement, and the camera moves."""
    movements = [label for label in row["labels"] if label in MOVEMENTS]
    return len(movements) == 1 and not movements[0].endswith("tracking")


def camreasoner_rows(clips: Sequence[str], rng: random.Random) -> Iterator[Row]:
    """All rows of camerabench_binary.json: of each movement those with Yes first."""
    clips = rng.sample(clips, min(BINARY_CLIPS, len(clips)))
    for name, answers in YES_NO.items():
        for number in range(sum(answers)):
            row = _camreasoner_row(f"{name}_{number + 1}", name, "B" if number < answers[0] else "A")
            medium = {"path": f"video/{clips[(number * 7 + answers[1]) % len(clips)]}"}
            unused = {"process": "", "data_source": "camerabench", "dataset": "camerabench", "output": []}
            yield row | medium | unused | {"id": row["problem_id"], "solution": row.pop("answer")}


def training_rows(clips: Sequence[str], rng: random.Random) -> Iterator[Row]:
    """Rows of camerabench_rl.json, whose fields are only known from the code that loads it."""
    for number in range(TRAINING_ROWS):
        name = rng.choice(list(YES_NO))
        row = _camreasoner_row(f"{name}_{number}" if number % 10 else f"x{number}", name, rng.choice("AAAAAAAB"))
        yield row | {"videos": [f"video/{rng.choice(clips)}"]}


def cinetech_still_row(number: int, category: str, right: SetClass, classes: Mapping[str, Sequence[SetClass]]) -> Row:
    """A row of image_annotation.json about a class, a fifth of them in the other spelling of that file."""
    options, letter = _options(right.name, [one.name for one in classes[category]], random.Random(number))
    misspelt = number % 5 == 0
    return {
        "Image_name": f"{number % 90:03d}-{category}-{number:03d}.jpg",
        "URL": f"https://www.imdb.com/title/tt{number % 90:07d}/mediaviewer/rm{number}/",
        "Category": "Compostion" if misspelt and category == "Composition" else category,
        "Type": letter,
        "Annotation": right.spellings[-1] if misspelt and right.spellings else right.name,
        "QA": {"Prompt": _prompt(f"What is the {category.lower()} of this picture?", options), "Answer": letter},
    }


def cinetech_clip_row(number: int, movements: Sequence[str]) -> Row:
    """A row of video_annotation.json; the last 15 are of two movements."""
    right, single = movements[number % len(movements)], number < SINGLE_CLIPS
    options, letter = _options(right, movements, random.Random(number))
    return {
        "id": number,
        "movie_id": number % 60,
        "video_name": f"movie{number:03d}clip.mp4",
        "start_frame": "00:01:00",
        "end_frame": "00:03:00",
        "type": right if single else f"{right} + Crane Shot",
        "classification": "Single" if single else "Combinational",
        "QA": {"prompt": _prompt("How does the camera move?", options), "answer": letter},
    }


def acam_choice_row(clip: str, rng: random.Random, as_list: bool) -> Row:
    """A multiple-choice question of ACaM-Bench, with its options as a list or by letter."""
    right = rng.choice(ACAM_CLASSES)
    options, letter = _options(right, ACAM_CLASSES, rng)
    return {
        "video": clip,
        "camera_motion": [right],
        "question": "Which camera motion does the video show?",
        "options": options if as_list else dict(zip("ABCD", options, strict=True)),
        "answer": letter,
    }


def acam_binary_row(clip: str, number: int, rng: random.Random) -> Row:
    """A question of ACaM-Bench with the answer Yes or No, by turns."""
    name = rng.choice(ACAM_CLASSES)
    return {
        "image": clip,
        "camera_motion": [name],
        "question": f"Does the camera perform {name.replace('_', ' ').lower()}?",
        "label": ("Yes", "No")[number % 2],
        "source": "Veo_3.1_fast_preview",
    }


def _options(right: str, names: Sequence[str], rng: random.Random) -> tuple[list[str], str]:
    """Four options in random order, and the letter of the right one."""
    options = [right, *rng.sample([name for name in names if name != right], 3)]
    rng.shuffle(options)
    return options, "ABCD"[options.index(right)]


def _prompt(question: str, options: Sequence[str]) -> str:
    lines = [f"{letter}. {text}" for letter, text in zip("ABCD", options, strict=True)]
    return "\n".join([question, *lines, "Please answer with the letter only."])


def _camreasoner_row(problem_id: str, name: str, letter: str) -> Row:
    return {
        "problem_id": problem_id,
        "problem": f"Does the camera movement {name.replace('_', ' ').lower()} occur in this clip?",
        "data_type": "video",
        "problem_type": "multiple choice",
        "options": ["A. No", "B. Yes"],
        "answer": f"<answer>{letter}</answer>",
    }


def _camerabench_row(number: int, labels: list[str]) -> Row:
    clip = (f"-2uIa-X{number:04d}.0.5", f"{number:04d}.13.4", f"{number:064x}.1")[number % 3]
    folder = "/data3/zhiqiul/video_annotation/videos" if number % 10 == 0 else "videos"
    gif = f"https://huggingface.co/datasets/syCen/CameraBench/resolve/main/videos_gif/{clip}.gif"
    return {"Video": gif, "labels": labels, "caption": "The camera moves. " * 6, "path": f"{folder}/{clip}.mp4"}


def _still_first(rng: random.Random) -> list[str]:
    """The presences of motion: of the clips whose camera is static, and of the others in random order."""
    still, *moving = PRESENCE.items()
    others = [still[0]] * (still[1] - STEADINESS["static"]) + _deck(dict(moving))
    rng.shuffle(others)
    return [still[0]] * STEADINESS["static"] + others


def _deck(counts: dict[str, int]) -> list[str]:
    return [label for label, count in counts.items() for _ in range(count)]
