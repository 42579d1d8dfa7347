"""A film of any length with hard cuts, in which no two shots are equal: drifting textures with grain, in H.264.

Owns the drawing and the encoding. Each of a few textures is encoded for as long as the longest shot lasts; a shot is
the beginning of one of them. Packets are copied, so that a film of two hours takes about as long as six minutes of it,
and every shot has a middle frame and a length of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 24  # frames per second
B_FRAMES = 3
LENGTHS = tuple(1 + (B_FRAMES + 1) * groups for groups in range(17, 42))  # frames: whole groups of P- and B-frames
SHOTS_A_MINUTE = 12.5  # 4.9 s each, as in films of today
GRAIN = 3  # standard deviation, of 255
BLOCK = 40  # pixels of the texture at a width of 1,920


def make_film(path: Path, width: int, minutes: float) -> tuple[int, int]:
    """Write a film of about this length, 16:9; returns its numbers of frames and of shots."""
    shots = max(2, round(minutes * SHOTS_A_MINUTE))
    textures = max(2, -(-shots // len(LENGTHS)))
    reel = path.with_suffix(".reel.mp4")
    _encode(reel, width, width * 9 // 16 // 2 * 2, textures)
    draw = np.random.default_rng(2)
    lengths = [draw.permutation(LENGTHS).tolist() for _ in range(textures)]  # of the shots of each texture
    frames = 0
    with av.open(str(reel)) as source, av.open(str(path), "w") as target:
        copied = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        tick = round(1 / (RATE * source.streams.video[0].time_base))  # length of a frame
        for shot in range(shots):
            first = shot % textures * LENGTHS[-1]
            length = lengths[shot % textures][shot // textures]
            for packet in packets[first : first + length]:
                moved = av.Packet(bytes(packet))
                moved.pts, moved.dts = packet.pts + (frames - first) * tick, packet.dts + (frames - first) * tick
                moved.duration, moved.time_base = tick, packet.time_base
                moved.is_keyframe, moved.stream = packet.is_keyframe, copied
                target.mux(moved)
            frames += length
    reel.unlink()
    return frames, shots


def _encode(path: Path, width: int, height: int, textures: int) -> None:
    """Encode every texture for the longest length, each in a group of pictures of its own."""
    options = {"preset": "veryfast", "crf": "20", "g": str(LENGTHS[-1]), "keyint_min": str(LENGTHS[-1])}
    options |= {"bf": str(B_FRAMES), "x264-params": "b-adapt=0:scenecut=0:b-pyramid=none:open-gop=0"}
    with av.open(str(path), "w") as container:
        track: Any = container.add_stream("libx264", rate=RATE, options=options)
        track.width, track.height, track.pix_fmt = width, height, "yuv420p"
        for picture in _pictures(width, height, textures):
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(track.encode())


def _pictures(width: int, height: int, textures: int) -> Iterator[np.ndarray]:
    """The frames of all textures: uint8 [height, width, 3]."""
    draw = np.random.default_rng(1)
    block = max(2, BLOCK * width // 1920)
    grain = draw.normal(0, GRAIN, (height * 2, width * 2, 1)).astype(np.int8).view(np.uint8)
    for _ in range(textures):
        shape = (height // block + 2, (width + LENGTHS[-1]) // block + 2, 3)
        coarse = np.kron(draw.integers(30, 225, shape, np.uint8), np.ones((block, block, 1), np.uint8))
        for number in range(LENGTHS[-1]):
            top, left = draw.integers(0, height), draw.integers(0, width)
            noise = grain[top : top + height, left : left + width]
            yield coarse[:height, number : number + width] + noise  # negative grain wraps around to a subtraction
