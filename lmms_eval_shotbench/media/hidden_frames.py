"""Packets of VP8 and VP9 that show no frame: alternate reference frames, from which only other frames are predicted.

Owns the bits of the two bitstreams that say so (RFC 6386, section 9.1; VP9 bitstream specification, section 6.2 and
annex B). Other codecs need no such test: a packet of AV1 always shows a frame, and FFmpeg marks the packets that an
edit list removes.
"""

from __future__ import annotations

from typing import Any

SUPERFRAME = 0b110  # first three bits of the marker at both ends of a superframe's index


def shows_nothing(codec: str, packet: Any) -> bool:
    """Whether a packet (`av.Packet` with data) of FFmpeg's decoder `codec` shows no frame."""
    if codec in ("vp8", "libvpx"):
        return not memoryview(packet)[0] >> 4 & 1
    if codec in ("vp9", "libvpx-vp9"):
        return not any(map(_vp9_frame_is_shown, _vp9_frames(memoryview(packet))))
    return False


def _vp9_frames(packet: memoryview) -> list[memoryview]:
    """The frames of a packet, which is one frame or a superframe: frames, followed by an index of their sizes."""
    marker = packet[-1]
    frames, size_bytes = (marker & 0b111) + 1, (marker >> 3 & 0b11) + 1
    index = len(packet) - frames * size_bytes - 2
    if marker >> 5 != SUPERFRAME or index < 0 or packet[index] != marker:
        return [packet]
    found, start = [], 0
    for position in range(index + 1, len(packet) - 1, size_bytes):
        size = int.from_bytes(packet[position : position + size_bytes], "little")
        found.append(packet[start : start + size])
        start += size
    return [frame for frame in found if len(frame)]


def _vp9_frame_is_shown(frame: memoryview) -> bool:
    bits = f"{int.from_bytes(frame[:2], 'big') << (8 * (2 - min(len(frame), 2))):016b}"
    position = 5 if bits[2:4] == "11" else 4  # after marker and profile; profile 3 has a reserved bit
    shows_existing, shown = bits[position] == "1", bits[position + 2] == "1"
    return shows_existing or shown
