"""Faults for tests: exceptions of many types, raised by any function while it works on one medium."""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import av
import pytest
from PIL import UnidentifiedImageError

from data_pipeline.films import cut_films
from data_pipeline.films.cut_films import CutFilm, FilmUnit


class OddError(Exception):
    """An exception type that nobody expects."""


FAULTS: Sequence[Exception] = (
    RuntimeError("the library gave up"),
    MemoryError(),
    RecursionError("maximum recursion depth exceeded"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    KeyError("missing"),
    AttributeError("'NoneType' object has no attribute 'width'"),
    AssertionError(),
    ZeroDivisionError("division by zero"),
    OSError(5, "Input/output error"),
    PermissionError(13, "Permission denied"),
    StopIteration(),
    struct.error("unpack requires a buffer of 4 bytes"),
    UnidentifiedImageError("cannot identify image file <_io.BytesIO object at 0x7f0000000000>"),
    av.error.InvalidDataError(1094995529, "Invalid data found when processing input"),
    DeprecationWarning("raised by a filter"),
    OddError("odd"),
)


def fault_named(name: str) -> Exception:
    return next(fault for fault in FAULTS if type(fault).__name__ == name)


def inject(patch: pytest.MonkeyPatch, target: str, fault: BaseException, applies: Callable[..., bool]) -> list[int]:
    """Let a function raise whenever `applies`, called with its arguments, is true; the list counts the faults.

    Args:
        target: Module, class if any, and name, joined by dots.
    """
    owner_name, _, name = target.rpartition(".")
    try:
        owner: Any = import_module(owner_name)
    except ModuleNotFoundError:
        module, _, type_name = owner_name.rpartition(".")
        owner = getattr(import_module(module), type_name)
    original, raised = getattr(owner, name), []

    def faulty(*arguments: Any, **named: Any) -> Any:
        if applies(*arguments, **named):
            raised.append(1)
            raise fault
        return original(*arguments, **named)

    patch.setattr(owner, name, faulty)
    return raised


def current_film(patch: pytest.MonkeyPatch) -> list[str]:
    """A list whose only entry is the id of the film that is being cut."""
    current, cut = [""], cut_films.cut_film

    def observed(unit: FilmUnit) -> CutFilm:
        current[0] = unit.film_id
        return cut(unit)

    patch.setattr(cut_films, "cut_film", observed)
    return current


def cut_or_die(unit: FilmUnit) -> CutFilm:
    """Cut a film in a worker; the film `killer` kills the worker, as a crash of its decoder would."""
    if unit.film_id == "killer":
        os.kill(os.getpid(), signal.SIGKILL)
    return cut_films.cut_film(unit)
