"""The prompt for a reasoning chain: images as data URLs, then one text.

Owns the wording, which differs on purpose from the evaluation prompt (`lmms_eval_shotbench/prompts.py`): it contains
the answer, and the entries of `knowledge.py` for the terms in the options. Requests are sent in `chain_requests.py`,
replies checked in `chain_checks.py`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from data_pipeline.questions.chain_checks import FEWEST_WORDS, MAX_WORDS
from data_pipeline.questions.knowledge import knowledge_of
from lmms_eval_shotbench.media.data_urls import WEB_FORMATS, data_url
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import MediaKind, Term, dimension_named

if TYPE_CHECKING:
    from PIL.Image import Image

PROMPT_VERSION = 1  # recorded in the dataset card; increment with any change to PROMPT
STILL_PIXELS = 1_000_000  # larger stills are downscaled: film terms do not depend on fine detail
CLIP_FPS = 4.0  # enough to see the direction of a camera movement
CLIP_FRAMES = 20  # maximum; a longer clip is sampled at a lower rate
CLIP_PIXELS = 360 * 640  # per frame, as in the official protocol
JPEG_QUALITY = 90
# Everything that determines the images an endpoint receives; part of the cache key of a reply.
SETTINGS = (STILL_PIXELS, CLIP_FPS, CLIP_FRAMES, CLIP_PIXELS, JPEG_QUALITY)

PROMPT = """You are a cinematographer who teaches others to read film. {shown} Write down the thoughts by which a \
careful student, who sees nothing but this, arrives at the answer to the question below.

Question: {question}
Options:
{options}

For your eyes only, the answer is {letter}. {gold}
{notes}
How the thoughts go:
- First say what is visible that bears on this question: places in the frame, sizes, directions, light and dark, \
what changes over time. Name things that are really there.
- Then hold every option against it, in your own words, and say what speaks against those that fall away.
- The last sentence names the option that is left by its text.
- {fewest} to {most} words of running prose, without lists, headings or quotations of the notes.
- The student works the answer out: never say or hint that it, or any note, was given.
- Do not argue against what you see. If the pictures plainly show that the answer above is wrong, think and answer \
for the option that you see instead.

Reply in this form and with nothing around it:
<think>THOUGHTS</think><answer>LETTER</answer>"""
NOTES = "\nFor your eyes only, what the terms on offer mean:\n{notes}\n"
STILL_SHOWN = "You see one frame of a shot."
CLIP_SHOWN = "You see {count} frames of one shot in the order of time, about {gap:.2f} seconds apart."


def chain_prompt(item: QAItem, shown: str) -> str:
    """Return the text of a request; `shown` describes the images before it."""
    notes = "\n".join(f"- {note}" for note in _notes(item))
    return PROMPT.format(
        shown=shown,
        question=item.question,
        options="\n".join(f"{letter}. {text}" for letter, text in item.choices.items()),
        letter=item.answer,
        gold=item.gold,
        notes=NOTES.format(notes=notes) if notes else "",
        fewest=FEWEST_WORDS,
        most=MAX_WORDS,
    )


def _notes(item: QAItem) -> Iterator[str]:
    dimension, terms = dimension_named(item.dimension), offered_terms(item)
    offered = [term.name for term in terms]
    return (knowledge_of(dimension, term).note(offered) for term in terms)


def offered_terms(item: QAItem) -> list[Term]:
    """Return the terms named by the options, in the vocabulary's order; options such as yes and no name none."""
    labels = [label for letter in item.letters if (label := item.label(letter))]
    named = {term for label in labels for term in label.terms}
    return [term for term in dimension_named(item.dimension).terms if term in named]


def chain_message(item: QAItem, encoded: bytes) -> list[dict[str, Any]]:
    """Return the user's message in OpenAI's format; raises `BrokenMedium` if the medium cannot be decoded."""
    if item.media_kind is MediaKind.CLIP:
        pictures, shown = _clip_pictures(encoded)
    else:
        pictures, shown = [_still_url(encoded)], STILL_SHOWN
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in pictures]
    return [*parts, {"type": "text", "text": chain_prompt(item, shown)}]


def _still_url(encoded: bytes) -> str:
    """Return a still as a data URL: unchanged if small enough and in a common format, else as a downscaled JPEG."""
    from PIL import Image

    from lmms_eval_shotbench.media.stills import open_still

    picture = open_still(encoded)
    with Image.open(io.BytesIO(encoded)) as header:
        mime_type = WEB_FORMATS.get(header.format or "")
    if mime_type and picture.width * picture.height <= STILL_PIXELS:
        return data_url(mime_type, encoded)
    return _picture_url(picture, STILL_PIXELS)


def _clip_pictures(encoded: bytes) -> tuple[list[str], str]:
    from PIL import Image

    from lmms_eval_shotbench.media.clips import Clip

    with Clip(encoded) as clip:
        seconds = float(clip.frames / clip.frame_rate)
        frames = clip.sampled(min(CLIP_FPS, CLIP_FRAMES / seconds))
        batches = clip.read(frames)
        urls = [_picture_url(Image.fromarray(picture), CLIP_PIXELS) for batch in batches for picture in batch]
    return urls, CLIP_SHOWN.format(count=len(urls), gap=seconds / len(urls))


def _picture_url(picture: Image, max_pixels: int) -> str:
    scale = min(1.0, (max_pixels / (picture.width * picture.height)) ** 0.5)
    if scale < 1:
        picture = picture.resize((max(1, int(picture.width * scale)), max(1, int(picture.height * scale))))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=JPEG_QUALITY)
    return data_url("image/jpeg", stream.getvalue())
