"""Which format a file of an annotation tool has, by its name and content, and its reader."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

from data_pipeline.annotations.columns import TableRefused
from data_pipeline.annotations.tools.cvat import read_cvat
from data_pipeline.annotations.tools.elan import read_elan
from data_pipeline.annotations.tools.label_studio import read_label_studio
from data_pipeline.annotations.tools.scene_list import read_scene_list
from data_pipeline.annotations.tools.timeline import TimelineFilm, read_timeline
from data_pipeline.annotations.tools.tool_annotation import BadAnnotations, ToolFile
from data_pipeline.annotations.tools.via import read_via
from lmms_eval_shotbench.labelling.exports.safe_xml import BadXml, parse_xml
from lmms_eval_shotbench.labelling.exports.timeline_files import SUFFIXES as TIMELINES
from lmms_eval_shotbench.labelling.exports.timeline_files import BadTimeline

IN_ZIP = "annotations.xml"  # of an export of CVAT
MOST_BYTES = 2_000_000_000  # of the file in it, unpacked
FORMATS = (
    "ELAN (.eaf), CVAT (.xml, .zip), Label Studio and VIA 3 (.json), PySceneDetect (-Scenes.csv), EDL (.edl), "
    "FCPXML (.fcpxml), Final Cut 7 XML (.xml) and OpenTimelineIO (.otio)"
)
FilmsNamedIn = Callable[[Path], Mapping[str, TimelineFilm] | None]


def read_tool_file(path: Path, rate: Fraction | None, films: FilmsNamedIn) -> ToolFile:
    """Read the annotations of a file.

    Args:
        path: The file.
        rate: Frames per second at which a format counts that does not state its own; None if it was not given.
        films: Returns the films that a timeline may be of, by `media`; None if no films are known.

    Raises:
        BadAnnotations: the file cannot be used; the message begins with its path.
    """
    try:
        return _read(path, rate, films)
    except OSError as error:
        raise BadAnnotations(f"{path} cannot be opened: {error.strerror}") from None
    except (BadTimeline, TableRefused) as error:
        raise BadAnnotations(str(error)) from error
    except (BadAnnotations, BadXml) as error:
        raise BadAnnotations(f"{path}: {error}") from error
    # A tree of another shape than the format's.
    except (AttributeError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise BadAnnotations(f"{path} is not as its tool writes it: {error!r}; export it again") from error


def _read(path: Path, rate: Fraction | None, films: FilmsNamedIn) -> ToolFile:
    suffix = path.suffix.lower()
    if suffix == ".eaf":
        return read_elan(parse_xml(path.read_bytes()))
    if suffix == ".json":
        return _read_json(path, rate)
    if suffix in (".csv", ".tsv") and (scenes := read_scene_list(path)):
        return scenes
    if suffix == ".zip" or suffix == ".xml":
        root = parse_xml(_unpacked(path) if suffix == ".zip" else path.read_bytes())
        if root.tag == "annotations":
            return read_cvat(root)
        if suffix == ".zip" or root.tag not in ("xmeml", "fcpxml"):
            raise BadAnnotations(f"an XML document {root.tag}; read are {FORMATS}")
    if suffix in TIMELINES:
        return read_timeline(path, films(path), rate)
    raise BadAnnotations(f"no format that is read, which are {FORMATS}; a table is read by shotbench data films")


def _unpacked(path: Path) -> bytes:
    with zipfile.ZipFile(path) as packed:
        if IN_ZIP not in packed.namelist():
            raise BadAnnotations(f"it has no {IN_ZIP}; export CVAT for video 1.1")
        if packed.getinfo(IN_ZIP).file_size > MOST_BYTES:
            raise BadAnnotations(f"its {IN_ZIP} has more than {MOST_BYTES:,} bytes; export the tasks one by one")
        return packed.read(IN_ZIP)


def _read_json(path: Path, rate: Fraction | None) -> ToolFile:
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BadAnnotations(f"no JSON: {error}") from None
    if isinstance(content, dict) and "metadata" in content and "attribute" in content:
        return read_via(content)
    if isinstance(content, dict) and "data" in content and "annotations" in content:
        content = [content]
    if isinstance(content, list):
        return read_label_studio(content, rate)
    keys = ", ".join(list(content)[:5]) if isinstance(content, dict) else type(content).__name__
    raise BadAnnotations(f"neither an export of Label Studio nor a project of VIA 3; it has {keys}")
