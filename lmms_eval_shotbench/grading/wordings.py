"""How prose words the terms of the vocabulary: inflected forms, synonyms and look-alikes. Data only.

`vocabulary.py` defines the terms and the spellings that labels use; these are the further ones that answers use.
`terms.py` applies them. Words are compared after `WORD_FORMS`, without the words of `TRANSPARENT`.
"""

from __future__ import annotations

from lmms_eval_shotbench.vocabulary import (
    CAMERA_ANGLE,
    CAMERA_MOVEMENT,
    COMPOSITION,
    LENS_SIZE,
    LIGHTING_CONDITION,
    LIGHTING_TYPE,
    SHOT_FRAMING,
    SHOT_SIZE,
)


def _forms(**forms: str) -> dict[str, str]:
    return {form: base for base, listed in forms.items() for form in listed.split()}


# Base form of an inflected or alternative word.
WORD_FORMS = {
    **_forms(
        push="pushes pushing pushed",
        pull="pulls pulling pulled",
        zoom="zooms zooming zoomed",
        dolly="dollies dollying dollied",
        pan="pans panning panned",
        tilt="tilts tilting tilted",
        boom="booms booming boomed",
        crane="cranes craning craned",
        pedestal="pedestals pedestaling",
        move="moves moving moved movement",
        truck="trucks trucking trucked",
        roll="rolls rolling rolled",
        arc="arcs arcing arced arching",
        orbit="orbits orbiting orbited",
        tracking="track tracks tracked",
        change="changes changing changed shift shifts shifting shifted switch switches switching switched",
        rack="racks racking racked",
        up="ups upward upwards",
        down="downward downwards",
        left="leftward leftwards",
        right="rightward rightwards",
        shot="shots",
        lens="lenses",
        angle="angles angled",
        light="lights lighting lit lighted",
        medium="mid med",
        extreme="extremely xtreme",
        single="singles",
        group="groups",
        insert="inserts",
        practical="practicals",
        silhouette="silhouettes silhouetted",
        backlight="backlit backlighting backlights",
        underlight="underlit underlighting",
        sidelight="sidelit sidelighting",
        toplight="toplit toplighting",
        moonlight="moonlit",
        firelight="firelit",
        center="centre centered centred centers",
        symmetrical="symmetric symmetry symmetrically",
        balanced="balance",
        fisheye="fisheyes",
        telephoto="tele",
    ),
    "two": "2",
    "three": "3",
}

# Words that may stand between the words of a term: "pans slowly to the left".
TRANSPARENT = frozenset(
    [
        "to",
        "the",
        "toward",
        "towards",
        "slowly",
        "gently",
        "smoothly",
        "gradually",
        "slightly",
        "steadily",
        "quickly",
        "slow",
        "smooth",
        "gentle",
    ]
)
MAX_TRANSPARENT = 3

# Nouns that may follow a term without changing it: "medium shot", "wide angle lens".
HEADS = frozenset(
    ["shot", "lens", "light", "angle", "view", "framing", "frame", "composition", "size", "sized", "move"]
)

# Words that make another term of the one they stand next to: "full", "tight" or "very" close up.
BLENDING = frozenset(
    [
        "extreme",
        "ultra",
        "super",
        "very",
        "medium",
        "big",
        "full",
        "long",
        "half",
        "semi",
        "near",
        "tight",
        "far",
        "wide",
        "close",
        "choker",
    ]
)

# Words after which a term is an adjective in a comparison: "too wide".
COMPARING = frozenset(["too", "more", "less", "how"])

NOT_A_TERM = ""

# Further wordings by dimension and term. NOT_A_TERM lists phrases that hold a term's words but mean something else.
WORDINGS: dict[str, dict[str, tuple[str, ...]]] = {
    SHOT_SIZE.slug: {
        "Extreme Close Up": ("Big Close Up", "Extreme Close"),
        "Close Up": ("Close shot",),
        "Medium Close Up": ("Medium Close", "Close Medium"),
        "Medium Wide": ("Medium Long", "Medium Full", "Cowboy shot", "American shot", "MLS"),
        "Wide": ("Long shot", "LS"),
        "Extreme Wide": ("Extreme Long", "Very Wide", "XWS", "ELS"),
        NOT_A_TERM: ("wide angle", "wide open", "full shot", "medium sized", "medium size", "group medium"),
    },
    SHOT_FRAMING.slug: {
        "Single": ("One shot", "Single person"),
        "2 shot": ("Twoshot",),
        "3 shot": ("Threeshot",),
        "Over the shoulder": ("Over shoulder",),
        "Establishing shot": ("Establishing",),
        NOT_A_TERM: ("every single", "not a single", "group of 2", "group of 3"),
    },
    CAMERA_ANGLE.slug: {
        "High angle": ("angle is high",),
        "Low angle": ("angle is low",),
        "Overhead": ("Top down", "Birds eye", "Bird s eye"),
        "Dutch angle": ("Dutch tilt", "Canted"),
        NOT_A_TERM: ("high up", "high contrast", "low contrast", "low light", "high key", "low key", "eye level"),
    },
    LENS_SIZE.slug: {
        "Ultra Wide / Fisheye": ("Ultrawide", "Ultra wide angle", "Fish eye", "Extreme wide", "Super wide"),
        "Long Lens": ("Telephoto lens",),
        NOT_A_TERM: ("wide shot", "medium shot", "long shot", "medium close up", "wide open"),
    },
    LIGHTING_TYPE.slug: {
        "Daylight": ("Day light",),
        "Artificial light": ("Artificial",),
        "Mixed light": ("Mixed",),
        "Moonlight": ("Moon light",),
        "Firelight": ("Fire light",),
        "Practical light": ("Practical",),
        "LED": ("LEDs",),
    },
    LIGHTING_CONDITION.slug: {
        "Side light": ("Sidelight",),
        "Backlight": ("Back light",),
        "Underlight": ("Under light",),
        "Top light": ("Toplight",),
        "High contrast": ("contrast is high",),
        "Low contrast": ("contrast is low",),
        "Hard light": ("Hard", "light is hard"),
        "Soft light": ("Soft", "light is soft"),
        "Edge light": ("Rim light",),
        NOT_A_TERM: ("soft focus", "hard to", "hard shadow", "soft shadow"),
    },
    COMPOSITION.slug: {
        "Center": ("Center heavy", "Centrally"),
        "Left heavy": ("heavy on left", "weighted left"),
        "Right heavy": ("heavy on right", "weighted right"),
        "Short side": ("Short sided", "Short siding"),
        NOT_A_TERM: ("left of center", "right of center", "off center"),
    },
    CAMERA_MOVEMENT.slug: {
        "Push in": ("Push inward",),
        "Pull out": ("Pull back", "Dolly back", "Pull away"),
        "Boom up": ("Crane up", "Pedestal up"),
        "Boom down": ("Crane down", "Pedestal down"),
        "Move to the left": ("Move left",),
        "Move to the right": ("Move right",),
        "Pan left": ("Pan from right to left",),
        "Pan right": ("Pan from left to right",),
        "Tilt up": ("Tilt from bottom to top",),
        "Tilt down": ("Tilt from top to bottom",),
        "Camera roll": ("Camera roll",),
        "Dolly zoom": ("Vertigo effect", "Zolly"),
        "Arc": ("Orbit",),
        "Tracking": ("Follow shot",),
        "Rack focus to foreground": ("Rack focus from background to foreground", "focus from background to foreground"),
        "Rack focus to background": ("Rack focus from foreground to background", "focus from foreground to background"),
        "Rack focus": ("Focus rack", "Focus pull", "Pull focus"),
        "Static shot": ("Stationary", "Locked off", "Fixed camera"),
        NOT_A_TERM: (
            "train tracking",
            "railway tracking",
            "rolling hill",
            "pull out a",
            "pull out an",
            "pull out his",
            "pull out her",
            "tracking left",
            "tracking right",
            "tracking in",
            "tracking out",
            "dolly zoom in",
            "dolly zoom out",
        ),
    },
}
