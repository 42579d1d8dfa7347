"""Pictures that look alike: a description of how a medium looks, and the search for near pairs among many.

Owns the description (`picture_hash`), the distance that counts as the same, and the search. What becomes of a pair is
decided in `drop_duplicates` and in `decontaminate.py`.

A perceptual hash alone is not enough. It is the sign pattern of the low frequencies; in a dark or flat picture those
are noise, and pictures built alike share them. So a picture is described by two things: the 64 bits of
`imagehash.phash`, and its colours on a grid of 8 x 8, compared relative to their contrast. Two pictures are the same
when both are near. A clip is described by three of its frames, all of which must be near; stills are never compared
with clips.

Measured on 564 synthetic stills. Encoded anew, half or twice the size, 15 % brighter or darker, 1 % cut off each side:
98 in 100 stay within both limits; with 2 % cut off, 9 in 10. Of 160,000 pairs of different stills 674 are within the
limit of bits, 250 within both: those looked at showed one set from one place with other clothes or a step aside.
(256 bits were tried: of a smooth picture most are noise, and with 1 % cut off 60 of them turn.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from data_pipeline.defects import Defect, DefectKind
from data_pipeline.labelled_shot import LabelledShot
from lmms_eval_shotbench.media.clips import Clip
from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.vocabulary import MediaKind

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image

HASH_SIDE = 8
BITS = HASH_SIDE**2
GRID = 8  # of colours
SMALL = 64  # side of the picture that both are made of
FRAME_BYTES = BITS // 8 + GRID * GRID * 3
ROWS_AT_ONCE = 128  # compared with all others: 62 MB at 61,000 pictures
PAIRS_AT_ONCE = 20_000  # looked at more closely: 50 MB

MOST_BITS = 10  # of 64 that differ
MOST_COLOUR = 0.15  # mean difference on the grid, by its standard deviation
FLAT = 2.0  # of 255, added to that deviation: in a flat picture it is noise
MOST_BRIGHTNESS = 64.0  # of 255, between the means; contrast says nothing of it


def picture_hash(kind: MediaKind, encoded: bytes) -> str:
    """Describe a medium's look in hexadecimal, so that near ones have near descriptions.

    Raises:
        BrokenMedium: it cannot be decoded.
    """
    pictures = [open_still(encoded)] if kind is MediaKind.STILL else _frames(encoded)
    return b"".join(map(_describe, pictures)).hex()


def _frames(encoded: bytes) -> Iterator[Image]:
    """Three frames of a clip, away from its ends: cutting one frame more or less should not matter."""
    from PIL import Image

    with Clip(encoded) as clip:
        wanted = [clip.frames // 6, clip.frames // 2, clip.frames - 1 - clip.frames // 6]
        for batch in clip.read(wanted):
            yield from map(Image.fromarray, batch)


def _describe(picture: Image) -> bytes:
    import imagehash
    import numpy
    from PIL import Image

    small = picture.resize((SMALL, SMALL), Image.Resampling.BOX, reducing_gap=2.0)
    bits: Any = imagehash.phash(small, HASH_SIDE).hash
    colours = small.resize((GRID, GRID), Image.Resampling.BOX)
    return bytes(numpy.packbits(bits.ravel()).tobytes() + numpy.asarray(colours).tobytes())


def near_pairs(hashes: Sequence[str], others: Sequence[str] | None = None) -> Iterator[tuple[int, int]]:
    """Yield (place, place in `others`) of pairs that look the same; without `others`, pairs (earlier, later) of one.

    Descriptions of stills and of clips may be mixed. Every pair is looked at: 61,000 stills take 10 s of one core and
    170 MB.
    """
    alone = others is None
    left, right = _by_length(hashes), _by_length(hashes if others is None else others)
    for length in sorted(left.keys() & right.keys()):
        yield from _near_of_kind(hashes, left[length], hashes if others is None else others, right[length], alone)


def _by_length(hashes: Sequence[str]) -> dict[int, list[int]]:
    places = defaultdict(list)
    for place, text in enumerate(hashes):
        if text:  # some have none
            places[len(text)].append(place)
    return places


def _near_of_kind(
    hashes: Sequence[str], left: Sequence[int], others: Sequence[str], right: Sequence[int], alone: bool
) -> Iterator[tuple[int, int]]:
    import numpy

    bits, colours = _unpacked([hashes[place] for place in left])
    rival_bits, rival_colours = (bits, colours) if alone else _unpacked([others[place] for place in right])
    for start in range(0, len(left), ROWS_AT_ONCE):
        first = start if alone else 0  # what stands before has been compared
        rows = bits[start : start + ROWS_AT_ONCE, None, 0]
        one, other = numpy.nonzero(numpy.bitwise_count(rows ^ rival_bits[None, first:, 0]) <= MOST_BITS)
        one, other = one + start, other + first
        if alone:
            one, other = one[other > one], other[other > one]
        for part in range(0, len(one), PAIRS_AT_ONCE):
            i, j = one[part : part + PAIRS_AT_ONCE], other[part : part + PAIRS_AT_ONCE]
            same = _same(bits[i], rival_bits[j], colours[i], rival_colours[j])
            yield from ((left[x], right[y]) for x, y in zip(i[same], j[same], strict=True))


def _unpacked(hashes: Sequence[str]) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Bits as words [n, frames * words] and colours as bytes [n, frames, numbers] of descriptions of one length."""
    import numpy

    packed = numpy.frombuffer(bytes.fromhex("".join(hashes)), numpy.uint8).reshape(len(hashes), -1, FRAME_BYTES)
    bits: numpy.ndarray = numpy.ascontiguousarray(packed[:, :, : BITS // 8]).reshape(len(hashes), -1).view(numpy.uint64)
    return bits, packed[:, :, BITS // 8 :]


def _same(
    bits: numpy.ndarray, rival_bits: numpy.ndarray, colours: numpy.ndarray, rival_colours: numpy.ndarray
) -> numpy.ndarray:
    """Whether pairs are near in every frame."""
    import numpy

    pairs, frames, _ = colours.shape
    apart: Any = numpy.bitwise_count(bits ^ rival_bits).reshape(pairs, frames, BITS // 64).sum(2)
    one: Any = colours.astype(numpy.float32)
    other: Any = rival_colours.astype(numpy.float32)
    means = one.mean(2, keepdims=True), other.mean(2, keepdims=True)
    contrast = (one.std(2) + other.std(2)) / 2 + FLAT
    colour = numpy.abs(one - means[0] - other + means[1]).mean(2) / contrast
    brightness = numpy.abs(means[0] - means[1])[:, :, 0]
    near: numpy.ndarray = ((apart <= MOST_BITS) & (colour <= MOST_COLOUR) & (brightness <= MOST_BRIGHTNESS)).all(1)
    return near


def drop_duplicates(
    shots: Sequence[LabelledShot], splits: Mapping[str, str], order: Sequence[str], defects: list[Defect]
) -> list[LabelledShot]:
    """Leave out shots that look like one that is kept: of two splits the one trained on goes, in one split the later.

    In one split, shots that look alike but are labelled differently stay: a zoom and a push through the same set look
    alike in three frames, and somebody has told them apart.

    Args:
        splits: The split of each film.
        order: The splits, from the one whose shots count least to the one whose shots count most.
    """
    ranked = sorted(shots, key=lambda shot: -order.index(splits[shot.film_id]))  # stable
    lost: dict[str, LabelledShot] = {}
    for earlier, later in sorted(near_pairs([shot.perceptual_hash for shot in ranked])):
        kept, shot = ranked[earlier], ranked[later]
        apart = splits[kept.film_id] != splits[shot.film_id]
        if kept.shot_id not in lost and (apart or say_the_same(kept.labels, shot.labels)):
            lost.setdefault(shot.shot_id, kept)
    for shot in shots:
        if kept_one := lost.get(shot.shot_id):
            said = f"looks like {kept_one.shot_id} of {kept_one.film_id} in {splits[kept_one.film_id]}"
            defects.append(Defect(DefectKind.DUPLICATE_PICTURE, 0, shot.shot_id, shot.media_path, said, loses_row=True))
    return [shot for shot in shots if shot.shot_id not in lost]


def say_the_same(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether two sets of labels agree wherever both say something."""
    return all(other.get(slug, label) == label for slug, label in one.items())
