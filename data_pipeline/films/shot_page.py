"""A page with the key frame of every shot, its id and its times: what a person looks at while filling the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from urllib.parse import quote

from data_pipeline.films.cut_shots import CutShots
from lmms_eval_shotbench.labelling.shot import FilmFacts, FilmShot

_STYLE = """
:root { color-scheme: light dark; }
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5rem; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: 1rem; }
figure { margin: 0; }
img { width: 100%; aspect-ratio: 16 / 9; object-fit: contain; background: #000; display: block; }
figcaption small { opacity: 0.7; display: block; }
"""


def shot_page(cut: Sequence[CutShots]) -> str:
    """The page as HTML; pictures are files that it loads, with paths relative to the folder of the media."""
    films = "\n".join(part for film in cut for part in _film(film))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Shots</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n{films}\n</body></html>\n"
    )


def _film(film: CutShots) -> Iterator[str]:
    facts = film.facts
    rate = f", {float(facts.frame_rate):.6g} frames per second" if facts.frame_rate else ""
    yield f"<h1>{_page_text(facts.media)}</h1>"
    yield f"<p>{len(film.shots):,} shots{rate}{''.join(f'<br>{_page_text(one)}' for one in facts.defects)}</p>"
    yield "<main>"
    yield from (_figure(shot, facts) for shot in film.shots)
    yield "</main>"


def _figure(shot: FilmShot, facts: FilmFacts) -> str:
    lines = [f"{shot.start_seconds:.3f} to {shot.end_seconds:.3f} s ({shot.seconds:.2f} s)"] if shot.times else []
    if timecode := facts.timecode(shot.first_frame):
        lines.append(f"{timecode} to {facts.timecode(shot.end_frame)}")
    lines += [shot.remark] if shot.remark else []
    small = "".join(f"<small>{_page_text(line)}</small>" for line in lines)
    picture = f'<img loading="lazy" src="{quote(shot.still)}" alt="Key frame of {_page_text(shot.shot_id)}">'
    return f"<figure>{picture if shot.still else ''}<figcaption>{_page_text(shot.shot_id)}{small}</figcaption></figure>"


def _page_text(text: str) -> str:
    return escape(text.encode(errors="replace").decode())
