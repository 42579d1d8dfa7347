"""The appearance of figures: skin, hair and clothes, and sampling a cast."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from data_pipeline.studio.solids import Colour, Material, Texture


class Hair(Enum):
    """Hair styles."""

    SHORT = "short"
    LONG = "long"
    BUN = "bun"
    CURLY = "curly"
    BALD = "bald"


class Outfit(Enum):
    """Types of upper clothing."""

    SHIRT = "shirt"
    JACKET = "jacket"  # open, over a shirt
    COAT = "coat"
    DRESS = "dress"


class Hat(Enum):
    """Types of headgear."""

    NONE = "none"
    BRIM = "brim"
    CAP = "cap"


@dataclass(frozen=True)
class Appearance:
    """Appearance of one member of the cast."""

    stature: float  # metres
    build: float  # relative width of the body; 1 is average
    skin: Colour
    hair: Colour
    hair_style: Hair
    outfit: Outfit
    top: Material
    under: Colour  # the shirt below a jacket
    legs: Material
    shoes: Colour
    hat: Hat = Hat.NONE
    beard: bool = False
    glasses: bool = False


SKINS: tuple[Colour, ...] = (
    (0.86, 0.66, 0.54), (0.80, 0.58, 0.46), (0.62, 0.42, 0.30), (0.46, 0.30, 0.21),
    (0.34, 0.22, 0.16), (0.83, 0.62, 0.47), (0.72, 0.50, 0.37),
)  # fmt: skip
HAIRS: tuple[Colour, ...] = (
    (0.09, 0.07, 0.06), (0.05, 0.045, 0.045), (0.24, 0.15, 0.08), (0.36, 0.22, 0.11),
    (0.55, 0.40, 0.22), (0.52, 0.51, 0.50), (0.42, 0.18, 0.09),
)  # fmt: skip
CLOTHS: tuple[Colour, ...] = (
    (0.55, 0.16, 0.14), (0.18, 0.30, 0.48), (0.22, 0.36, 0.24), (0.70, 0.57, 0.28), (0.40, 0.22, 0.38),
    (0.80, 0.77, 0.71), (0.25, 0.25, 0.28), (0.46, 0.34, 0.24), (0.20, 0.42, 0.45), (0.66, 0.40, 0.24),
    (0.60, 0.62, 0.66), (0.72, 0.48, 0.50),
)  # fmt: skip
DARK_CLOTHS: tuple[Colour, ...] = (
    (0.13, 0.15, 0.25), (0.12, 0.12, 0.13), (0.28, 0.24, 0.20), (0.22, 0.28, 0.38), (0.20, 0.21, 0.18),
    (0.42, 0.37, 0.30),
)  # fmt: skip
SHOES: tuple[Colour, ...] = ((0.06, 0.055, 0.05), (0.25, 0.14, 0.08), (0.55, 0.53, 0.50))


def draw_cast(rng: np.random.Generator, count: int) -> tuple[Appearance, ...]:
    """Sample `count` people whose tops differ in colour."""
    tops = rng.permutation(len(CLOTHS))
    return tuple(draw_appearance(rng, CLOTHS[tops[number % len(CLOTHS)]]) for number in range(count))


def draw_appearance(rng: np.random.Generator, top: Colour) -> Appearance:
    """Sample one person with a top of the given colour."""
    style = list(Hair)[rng.choice(5, p=(0.42, 0.26, 0.12, 0.13, 0.07))]
    long_haired = style in (Hair.LONG, Hair.BUN)
    outfit = list(Outfit)[rng.choice(4, p=(0.36, 0.24, 0.16, 0.24) if long_haired else (0.46, 0.36, 0.18, 0.0))]
    texture = Texture.CHECKS if outfit is Outfit.SHIRT and rng.random() < 0.25 else Texture.CLOTH
    hats = (0.84, 0.08, 0.08) if style in (Hair.SHORT, Hair.BALD) else (0.94, 0.06, 0.0)
    return Appearance(
        stature=float(rng.uniform(1.60, 1.74) if long_haired else rng.uniform(1.68, 1.88)),
        build=float(rng.uniform(0.90, 1.0) if long_haired else rng.uniform(0.95, 1.12)),
        skin=_one_of(rng, SKINS),
        hair=_one_of(rng, HAIRS),
        hair_style=style,
        outfit=outfit,
        top=Material(top, texture),
        under=_one_of(rng, CLOTHS),
        legs=Material(_one_of(rng, DARK_CLOTHS), Texture.CLOTH),
        shoes=_one_of(rng, SHOES),
        hat=list(Hat)[rng.choice(3, p=hats)],
        beard=not long_haired and bool(rng.random() < 0.3),
        glasses=bool(rng.random() < 0.16),
    )


def _one_of(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return colours[int(rng.integers(len(colours)))]
