"""The picture of a still as 8-bit sRGB, the only form that every reader of the shards shows alike.

Owns what an image file may need for that, in this order: high dynamic range is mapped to standard range, grey of more
than 8 bits is scaled, and colours of another ICC profile, such as Display P3, are converted. The evaluation does none
of this: it shows published stills as the reference does (`lmms_eval_shotbench/media/stills.py`).
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

from data_pipeline.checks.media_warnings import DEEP_GREY
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.grey_tones import grey_in_8_bits
from data_pipeline.films.tone_map import mapped_colours, refused_range, tone_mapped_still
from data_pipeline.high_dynamic_range import colours_of_still
from lmms_eval_shotbench.media.stills import as_rgb

if TYPE_CHECKING:
    from PIL.Image import Image

DEMUXERS = {"AVIF": "mov", "PNG": "png_pipe"}  # of FFmpeg, by Pillow's format; Pillow decodes these in 8 bits
SAME_COLOUR = 3  # of 255; a profile that changes no colour by more is taken for sRGB
SAMPLE_LEVELS = range(0, 256, 51)  # of each channel, at which a profile is compared with sRGB


class StandardStill(NamedTuple):
    """A still in RGB, not yet turned by its EXIF; whether its pixels are not those stored; warnings about it."""

    picture: Image
    changed: bool = False
    warnings: tuple[Flaw, ...] = ()


def standard_still(still: Image, encoded: bytes, settings: CutSettings) -> StandardStill | Flaw:
    """The picture of an opened still, or a `Flaw` if the settings refuse its colours."""
    colours = colours_of_still(still, encoded)
    if flaw := refused_range(colours, settings):
        return flaw
    if colours.are_high_dynamic_range:
        warning = Flaw(DefectKind.TONE_MAPPED, mapped_colours(colours))
        return StandardStill(tone_mapped_still(_deep_frame(still, encoded), colours.transfer), True, (warning,))
    if still.mode in DEEP_GREY:
        grey, guess = grey_in_8_bits(still, encoded)
        warnings = (Flaw(DefectKind.GUESSED_TONES, guess),) if guess else ()
        return StandardStill(grey.convert("RGB"), True, warnings)
    if converted := _converted_to_srgb(still):
        return StandardStill(converted, True)
    return StandardStill(as_rgb(still))


def _deep_frame(still: Image, encoded: bytes) -> Any:
    """The picture as `av.VideoFrame`, with all its bits where FFmpeg decodes it; it does not compose tiles."""
    import av

    if still.mode == "RGB" and (demuxer := DEMUXERS.get(still.format or "")):
        try:
            with av.open(BytesIO(encoded), format=demuxer, container_options={"protocol_whitelist": ""}) as container:
                frame = next(container.decode(container.streams.best("video")))
                if (frame.width, frame.height) == still.size:
                    return frame
        except (av.FFmpegError, StopIteration, AttributeError):
            pass  # Pillow has decoded it
    return av.VideoFrame.from_image(as_rgb(still))


def _converted_to_srgb(still: Image) -> Image | None:
    """The picture converted by its ICC profile, or None if it has none, one that is broken, or about that of sRGB."""
    from PIL import Image, ImageCms

    profile = still.info.get("icc_profile")
    if not profile:
        return None
    mode = still.mode if still.mode in ("L", "CMYK") else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )  # fmt: skip
        if mode == "RGB":
            levels = [bytes((r, g, b)) for r in SAMPLE_LEVELS for g in SAMPLE_LEVELS for b in SAMPLE_LEVELS]
            sample = Image.frombytes("RGB", (len(levels), 1), b"".join(levels))
            shown = ImageCms.applyTransform(sample, transform)
            if shown is None or _largest_difference(sample, shown) <= SAME_COLOUR:
                return None
        return ImageCms.applyTransform(as_rgb(still) if mode == "RGB" else still, transform)
    except (ImageCms.PyCMSError, OSError, ValueError):  # not of this kind of picture, or broken: readers ignore it
        return None


def _largest_difference(one: Image, other: Image) -> int:
    from PIL import ImageChops

    extrema: Any = ImageChops.difference(one, other).getextrema()
    return max(int(high) for _, high in extrema)
