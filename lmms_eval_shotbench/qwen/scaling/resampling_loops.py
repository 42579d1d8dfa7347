"""The compiled loops of `resampling.py`: sums of weighted lines, and turning a picture on its side.

A neighbour is added to a whole line of pixels at once, which processors do 8 or 16 at a time. Down a picture lines lie
side by side in memory; across, a strip of rows is turned on its side first and back afterwards, in registers. Colours
are interleaved in what comes in, and follow each other (all red, all green, all blue of a line) in what comes out.
Arrays with `words` in their name are the same memory, eight bytes at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy
from numba import njit

Array = Any  # of numpy; numba sees to what is in it
Function = TypeVar("Function", bound=Callable[..., Any])
COLOURS = 3
WORD = 8
STRIP = 256  # rows turned at a time; they and their sums fit into a core's cache
PLACES = 22  # binary ones of whole weights
Float, Int, Byte, Word = numpy.float32, numpy.int32, numpy.uint8, numpy.uint64
HALF = Int(1 << (PLACES - 1))  # numba would add up in 64 bits where types do not say otherwise
HALVES, QUARTERS, BYTES = Word(0x00000000FFFFFFFF), Word(0x0000FFFF0000FFFF), Word(0x00FF00FF00FF00FF)  # the lower ones


def compiled(function: Function) -> Function:
    """Compile, once a machine where there is a place to keep it; threads run side by side."""
    return _compiled(function, {})


def fused(function: Function) -> Function:
    """The same, and products are not rounded before they are added."""
    return _compiled(function, {"fastmath": {"contract"}})


def _compiled(function: Function, options: dict[str, Any]) -> Function:
    options |= {"nogil": True, "error_model": "numpy"}
    try:
        return cast(Function, njit(cache=True, **options)(function))
    except RuntimeError:  # neither beside this file nor at the user's home can anything be kept
        return cast(Function, njit(**options)(function))


@compiled
def byte_line(
    lines: Array, first: int, step: int, weights: Array, pixel: int, count: int, sums: Array, to: Array, line: int
) -> None:
    """Pillow's sum of `count` lines, `step` apart, by the weights of a pixel; in fours, filled up by weights of 0."""
    length, last = to.shape[1], first + (count - 1) * step
    for tap in range(0, count, 4):
        a = first + tap * step
        b, c, d = min(a + step, last), min(a + 2 * step, last), min(a + 3 * step, last)
        w, x, y, z = weights[pixel, tap], weights[pixel, tap + 1], weights[pixel, tap + 2], weights[pixel, tap + 3]
        if tap == 0:
            for place in range(length):
                total = Int(HALF + Int(lines[a, place]) * w + Int(lines[b, place]) * x)
                sums[place] = Int(total + Int(lines[c, place]) * y + Int(lines[d, place]) * z)
        else:
            for place in range(length):
                total = Int(sums[place] + Int(lines[a, place]) * w + Int(lines[b, place]) * x)
                sums[place] = Int(total + Int(lines[c, place]) * y + Int(lines[d, place]) * z)
    for place in range(length):
        to[line, place] = Byte(min(max(Int(sums[place] >> PLACES), Int(0)), Int(255)))


@compiled
def float_line(
    lines: Array, first: int, step: int, weights: Array, pixel: int, count: int, sums: Array, line: int
) -> None:
    """torch's sum of `count` lines, `step` apart, by the weights of a pixel."""
    length = sums.shape[1]
    w = weights[pixel, 0]
    for place in range(length):
        sums[line, place] = Float(lines[first, place]) * w
    tap = 1
    while tap + 4 <= count:
        a = first + tap * step
        b, c, d = a + step, a + 2 * step, a + 3 * step
        w, x, y, z = weights[pixel, tap], weights[pixel, tap + 1], weights[pixel, tap + 2], weights[pixel, tap + 3]
        for place in range(length):
            begun = (sums[line, place] + Float(lines[a, place]) * w) + Float(lines[b, place]) * x
            sums[line, place] = (begun + Float(lines[c, place]) * y) + Float(lines[d, place]) * z
        tap += 4
    while tap < count:
        _add_fused(lines, first + tap * step, weights[pixel, tap], sums, line)
        tap += 1


@fused
def _add_fused(lines: Array, source: int, weight: float, sums: Array, line: int) -> None:
    for place in range(sums.shape[1]):
        sums[line, place] += Float(lines[source, place]) * weight


@compiled
def bytes_down(lines: Array, first: Array, count: Array, weights: Array, sums: Array, to: Array) -> None:
    """Scale bytes down a picture, as Pillow does."""
    for line in range(to.shape[0]):
        byte_line(lines, first[line], 1, weights, line, count[line], sums, to, line)


@compiled
def floats_down(lines: Array, first: Array, count: Array, weights: Array, sums: Array, to: Array) -> None:
    """Scale float32 down a picture, as torch does, and round to bytes."""
    for line in range(to.shape[0]):
        float_line(lines, first[line], 1, weights, line, count[line], sums, 0)
        for place in range(to.shape[1]):
            to[line, place] = Byte(numpy.rint(min(max(sums[0, place], Float(0)), Float(255))))


@compiled
def bytes_across(
    words: Array,
    rows: int,
    first: Array,
    count: Array,
    weights: Array,
    turned: Array,
    turned_words: Array,
    tile: Array,
    tile_words: Array,
    sums: Array,
    to_words: Array,
) -> None:
    """Scale bytes along the rows of a picture, as Pillow does; `to_words` has room for whole strips."""
    width = first.shape[0]
    for top in range(0, rows, STRIP):
        turn(words, top, rows, turned_words, 0)
        for start in range(0, COLOURS * width, WORD):
            for line in range(min(WORD, COLOURS * width - start)):
                colour, pixel = divmod(start + line, width)
                place = COLOURS * first[pixel] + colour
                byte_line(turned, place, COLOURS, weights, pixel, count[pixel], sums, tile, line)
            turn(tile_words, 0, WORD, to_words[top : top + STRIP], start // WORD)


@compiled
def floats_across(
    words: Array,
    rows: int,
    first: Array,
    count: Array,
    weights: Array,
    turned: Array,
    turned_words: Array,
    tile: Array,
    tile_words: Array,
    to_words: Array,
) -> None:
    """Scale bytes along the rows of a picture to float32, as torch does; `to_words` has room for whole strips."""
    width = first.shape[0]
    for top in range(0, rows, STRIP):
        turn(words, top, rows, turned_words, 0)
        for start in range(0, COLOURS * width, WORD):
            for line in range(min(WORD, COLOURS * width - start)):
                colour, pixel = divmod(start + line, width)
                place = COLOURS * first[pixel] + colour
                float_line(turned, place, COLOURS, weights, pixel, count[pixel], tile, line)
            _put_back(tile_words, top, min(rows, top + STRIP), to_words, start // 2)


@compiled
def _put_back(tile_words: Array, top: int, end: int, to_words: Array, start: int) -> None:
    """Turn columns of float32 to rows, two by two."""
    low, half = Word(0xFFFFFFFF), Word(32)
    for row in range(0, end - top, 2):
        for pair in range(WORD // 2):
            left, right = tile_words[2 * pair, row // 2], tile_words[2 * pair + 1, row // 2]
            to_words[top + row, start + pair] = (left & low) | (right << half)
            to_words[top + row + 1, start + pair] = (left >> half) | ((right >> half) << half)


@compiled
def turn(words: Array, top: int, rows: int, to_words: Array, start: int) -> None:
    """Turn up to a strip of rows of bytes, from `top` on, into columns, 8 x 8 bytes at a time; the last row fills up.

    Of 8 x 8 bytes the halves are exchanged that lie off the diagonal, then the quarters within, then single bytes.
    """
    last = rows - 1
    for block in range((min(rows - top, STRIP) + WORD - 1) // WORD):
        at = top + WORD * block
        for place in range(words.shape[1]):
            a, b = words[min(at, last), place], words[min(at + 1, last), place]
            c, d = words[min(at + 2, last), place], words[min(at + 3, last), place]
            e, f = words[min(at + 4, last), place], words[min(at + 5, last), place]
            g, h = words[min(at + 6, last), place], words[min(at + 7, last), place]
            (a, e), (b, f) = _exchange(a, e, HALVES, Word(32)), _exchange(b, f, HALVES, Word(32))
            (c, g), (d, h) = _exchange(c, g, HALVES, Word(32)), _exchange(d, h, HALVES, Word(32))
            (a, c), (b, d) = _exchange(a, c, QUARTERS, Word(16)), _exchange(b, d, QUARTERS, Word(16))
            (e, g), (f, h) = _exchange(e, g, QUARTERS, Word(16)), _exchange(f, h, QUARTERS, Word(16))
            (a, b), (c, d) = _exchange(a, b, BYTES, Word(8)), _exchange(c, d, BYTES, Word(8))
            (e, f), (g, h) = _exchange(e, f, BYTES, Word(8)), _exchange(g, h, BYTES, Word(8))
            line, column = WORD * place, start + block
            to_words[line, column], to_words[line + 1, column] = a, b
            to_words[line + 2, column], to_words[line + 3, column] = c, d
            to_words[line + 4, column], to_words[line + 5, column] = e, f
            to_words[line + 6, column], to_words[line + 7, column] = g, h


@compiled
def _exchange(one: Any, other: Any, mask: Any, shift: Any) -> tuple[Any, Any]:
    """Exchange the upper parts of one word with the lower parts of another."""
    moved = ((one >> shift) ^ other) & mask
    return one ^ (moved << shift), other ^ moved
