"""The names under which columns of an annotation table are read."""

from __future__ import annotations

import re

from data_pipeline.annotations.plain_text import half_width
from data_pipeline.annotations.row_times import TimeRole
from data_pipeline.annotations.time_notation import Unit
from lmms_eval_shotbench.vocabulary import slugs

REQUIRED = ("film_id", "media")
COLUMNS = (*REQUIRED, *TimeRole, *slugs(), "shot_id", "licence")
SYNONYMS = {"license": "licence"}
PROVENANCE = ("confidence", "agreement", "source", "status")  # after the name of a dimension

ROLES = {
    **dict.fromkeys(("start", "begin", "in", "from"), TimeRole.START),
    **dict.fromkeys(("end", "out", "to"), TimeRole.END),
    "still": TimeRole.STILL,
    **dict.fromkeys(("duration", "dur", "length"), TimeRole.DURATION),
}
UNITS = {
    **dict.fromkeys(("time", "sec", "secs", "second", "seconds", "s"), Unit.ANY),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), Unit.MILLISECONDS),
    **dict.fromkeys(("frame", "frames", "f"), Unit.FRAMES),
    **dict.fromkeys(("tc", "timecode", "smpte"), Unit.TIMECODE),
}
NEUTRAL = frozenset(["point", "at", "number", "no", "num"])
JOINED = {
    joined: [role, unit]
    for role in ("start", "begin", "end", "in", "out", "still")
    for unit in ("time", "sec", "seconds", "ms", "frame", "tc", "timecode")
    for joined in (role + unit, unit + role)
}


def words_of(name: str) -> list[str]:
    """The words of a column's name in lower case: `StartTime (seconds)` is start, time, seconds; `tcin` is tc, in."""
    words = re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", half_width(name)).casefold())
    return [part for word in words for part in JOINED.get(word, [word])]
