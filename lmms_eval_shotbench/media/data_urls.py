"""Pictures as data URLs (RFC 2397), as vision endpoints and other programs take them.

Standard library only.
"""

from __future__ import annotations

import base64

# Formats that every endpoint reads: media type by Pillow's name.
WEB_FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


def data_url(media_type: str, encoded: bytes) -> str:
    """Return encoded bytes as a data URL."""
    return f"data:{media_type};base64,{base64.b64encode(encoded).decode()}"
