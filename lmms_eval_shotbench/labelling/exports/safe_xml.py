"""Parse XML of unknown origin: entity declarations, which can expand to gigabytes or read files, are refused.

Documents of editing systems and annotation tools declare none; a document type such as `<!DOCTYPE xmeml>` is allowed.
"""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat


class BadXml(ValueError):
    """A text is no well-formed XML, or declares entities; the message says where."""


def parse_xml(content: str | bytes) -> Element:
    """Return the root element of a document; names keep their prefix instead of a namespace.

    Raises:
        BadXml: not well-formed, or it declares an entity.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()

    def refuse(name: str, *_: Any) -> None:
        raise BadXml(f"line {parser.CurrentLineNumber}: it declares the entity {name}, which is not allowed")

    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.buffer_text = True
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise BadXml(f"line {error.lineno}: no well-formed XML ({expat.ErrorString(error.code)})") from None
    return builder.close()
