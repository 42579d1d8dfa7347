"""Near-duplicate detection: the perceptual hash of a medium, and an exhaustive search for pairs of similar hashes.

Owns the hash (`picture_hash`), the distance limits and the search. Which medium of a pair is dropped is decided in
`drop_duplicates` and in `decontaminate.py`.

A DCT hash alone is not enough: it keeps one bit per low-frequency coefficient, which is noise in a dark or flat picture
and is the same in pictures of similar composition. So the hash of a picture has two parts: the 64 bits of
`imagehash.phash`, and the colours on a grid of 8 x 8, compared relative to their contrast. Two pictures match if the
distance of both parts is within its limit. A clip is hashed by three of its frames, all of which must match; stills are
never compared with clips.

Measured on 564 synthetic stills: of those re-encoded, scaled to half or twice the size, made 15 % brighter or darker,
or cropped by 1 % on each side, 98 % match their original; cropped by 2 %, 90 %. Of 160,000 pairs of different stills,
674 are within the bit limit and 250 within both limits; the inspected ones show the same set from the same position,
with other clothes or with a figure one step away. (With a hash of 256 bits, most bits of a smooth picture are noise,
and cropping 1 % flips 60 of them.)
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
GRID = 8  # side of the colour grid
SMALL = 64  # side in pixels of the thumbnail from which both parts are computed
FRAME_BYTES = BITS // 8 + GRID * GRID * 3
COMPARED_AT_ONCE = 8_000_000  # pairs whose bits are compared in one NumPy call: 80 MB, whatever their number
PAIRS_AT_ONCE = 20_000  # pairs whose colours are compared in one NumPy call: 50 MB

MAX_HAMMING_BITS = 10  # of 64: maximum Hamming distance
MAX_COLOUR_DIFFERENCE = 0.15  # maximum mean absolute difference of the centred grids, in standard deviations
FLAT = 2.0  # of 255, added to the standard deviation, which would be noise in a flat picture
FEATURELESS = 12.0  # of 255: standard deviation of the grid; a black frame, fog or lines of credits have less
MAX_BRIGHTNESS_DIFFERENCE = 64.0  # of 255: maximum difference of the grids' means, which centring removes


def picture_hash(kind: MediaKind, encoded: bytes) -> str:
    """Hash a medium perceptually, in hexadecimal: `FRAME_BYTES` bytes for a still, 3 times as many for a clip.

    Raises:
        BrokenMedium: it cannot be decoded.
    """
    pictures = [open_still(encoded)] if kind is MediaKind.STILL else _frames(encoded)
    return b"".join(map(frame_hash, pictures)).hex()


def _frames(encoded: bytes) -> Iterator[Image]:
    """Yield three frames of a clip, away from its ends, so that they hardly change if it is cut a frame off."""
    from PIL import Image

    with Clip(encoded) as clip:
        indices = [clip.frames // 6, clip.frames // 2, clip.frames - 1 - clip.frames // 6]
        for batch in clip.read(indices):
            yield from map(Image.fromarray, batch)


def frame_hash(picture: Image) -> bytes:
    import imagehash
    import numpy
    from PIL import Image

    small = picture.resize((SMALL, SMALL), Image.Resampling.BOX, reducing_gap=2.0)
    bits: Any = imagehash.phash(small, HASH_SIDE).hash
    colours = small.resize((GRID, GRID), Image.Resampling.BOX)
    return bytes(numpy.packbits(bits.ravel()).tobytes() + numpy.asarray(colours).tobytes())


def is_featureless(media_hash: str) -> bool:
    """Whether a medium shows so little in all its frames that it looks like many others, e.g. black."""
    _, colours = _unpacked([media_hash])
    return bool((colours.std(2) < FEATURELESS).all())


def near_pairs(hashes: Sequence[str], others: Sequence[str] | None = None) -> Iterator[tuple[int, int]]:
    """Yield the pairs of matching hashes as (index in `hashes`, index in `others`).

    Without `others`, `hashes` are compared with each other, and the first index is the smaller one. Hashes of stills
    and clips may be mixed; empty ones never match. The search is exhaustive: 61,000 stills take 10 s on one core and
    170 MB.
    """
    within = others is None
    left, right = _indices_by_length(hashes), _indices_by_length(hashes if others is None else others)
    for length in sorted(left.keys() & right.keys()):
        yield from _near_of_length(hashes, left[length], hashes if others is None else others, right[length], within)


def _indices_by_length(hashes: Sequence[str]) -> dict[int, list[int]]:
    indices = defaultdict(list)
    for index, text in enumerate(hashes):
        if text:  # empty: the medium was not hashed or is broken
            indices[len(text)].append(index)
    return indices


def _near_of_length(
    hashes: Sequence[str], left: Sequence[int], others: Sequence[str], right: Sequence[int], within: bool
) -> Iterator[tuple[int, int]]:
    """Yield matching pairs of `hashes` at `left` and `others` at `right`, all of one length; `within`: one list."""
    import numpy

    bits, colours = _unpacked([hashes[index] for index in left])
    other_bits, other_colours = (bits, colours) if within else _unpacked([others[index] for index in right])
    rows_at_once = max(1, COMPARED_AT_ONCE // max(1, len(right)))
    for start in range(0, len(left), rows_at_once):
        first = start if within else 0  # pairs with earlier rows have been compared
        rows = bits[start : start + rows_at_once, None, 0]
        one, other = numpy.nonzero(numpy.bitwise_count(rows ^ other_bits[None, first:, 0]) <= MAX_HAMMING_BITS)
        one, other = one + start, other + first
        if within:
            one, other = one[other > one], other[other > one]
        for part in range(0, len(one), PAIRS_AT_ONCE):
            i, j = one[part : part + PAIRS_AT_ONCE], other[part : part + PAIRS_AT_ONCE]
            same = _are_near(bits[i], other_bits[j], colours[i], other_colours[j])
            yield from ((left[x], right[y]) for x, y in zip(i[same], j[same], strict=True))


def _unpacked(hashes: Sequence[str]) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return bits, uint64 [n, frames], and colours, uint8 [n, frames, GRID * GRID * 3], of n hashes of one length."""
    import numpy

    packed = numpy.frombuffer(bytes.fromhex("".join(hashes)), numpy.uint8).reshape(len(hashes), -1, FRAME_BYTES)
    bits: numpy.ndarray = numpy.ascontiguousarray(packed[:, :, : BITS // 8]).reshape(len(hashes), -1).view(numpy.uint64)
    return bits, packed[:, :, BITS // 8 :]


def _are_near(
    bits: numpy.ndarray, other_bits: numpy.ndarray, colours: numpy.ndarray, other_colours: numpy.ndarray
) -> numpy.ndarray:
    """Return whether each pair is within all limits in every frame, bool [n]; for shapes see `_unpacked`."""
    import numpy

    pairs, frames, _ = colours.shape
    hamming: Any = numpy.bitwise_count(bits ^ other_bits).reshape(pairs, frames, BITS // 64).sum(2)
    one: Any = colours.astype(numpy.float32)
    other: Any = other_colours.astype(numpy.float32)
    means = one.mean(2, keepdims=True), other.mean(2, keepdims=True)
    contrast = (one.std(2) + other.std(2)) / 2 + FLAT
    colour = numpy.abs(one - means[0] - other + means[1]).mean(2) / contrast
    brightness = numpy.abs(means[0] - means[1])[:, :, 0]
    near: numpy.ndarray = (
        (hamming <= MAX_HAMMING_BITS) & (colour <= MAX_COLOUR_DIFFERENCE) & (brightness <= MAX_BRIGHTNESS_DIFFERENCE)
    ).all(1)
    return near


def drop_duplicates(
    shots: Sequence[LabelledShot], splits: Mapping[str, str], order: Sequence[str], defects: list[Defect]
) -> list[LabelledShot]:
    """Return the shots without near-duplicates; each dropped one becomes a defect.

    Of a pair in two splits, the shot in the split of higher priority is kept. Of a pair in one split, the earlier shot
    is kept, or both if their labels differ: a zoom and a push through the same set look alike in three frames, but an
    annotator distinguished them.

    Args:
        splits: Split by film id.
        order: The splits by increasing priority.
    """
    ranked = sorted(
        shots, key=lambda shot: -order.index(splits[shot.film_id])
    )  # stable: the order within a split is kept
    lost: dict[str, LabelledShot] = {}
    for earlier, later in sorted(near_pairs([shot.perceptual_hash for shot in ranked])):
        kept, shot = ranked[earlier], ranked[later]
        across = splits[kept.film_id] != splits[shot.film_id]
        if kept.shot_id not in lost and (across or labels_agree(kept.labels, shot.labels)):
            lost.setdefault(shot.shot_id, kept)
    for shot in shots:
        if kept_one := lost.get(shot.shot_id):
            detail = f"looks like {kept_one.shot_id} of {kept_one.film_id} in {splits[kept_one.film_id]}"
            defects.append(shot.loss(DefectKind.DUPLICATE_PICTURE, detail))
    return [shot for shot in shots if shot.shot_id not in lost]


def labels_agree(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether two sets of labels agree in every dimension that both have."""
    return all(other.get(slug, label) == label for slug, label in one.items())
