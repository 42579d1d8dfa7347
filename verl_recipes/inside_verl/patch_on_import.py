"""Mend a module of another package once it is loaded, without loading it.

verl imports its plugins in every process, and many of those never load a model: whatever a plugin imported would cost
each of them seconds.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

Mend = Callable[[Any], None]
_known: set[tuple[str, Mend]] = set()


def when_imported(name: str, mend: Mend) -> None:
    """Call `mend` with the module: now if it is loaded, else as soon as it has been. Asking again changes nothing."""
    if (name, mend) in _known:
        return
    _known.add((name, mend))
    if name in sys.modules:
        mend(sys.modules[name])
    else:
        sys.meta_path.insert(0, _Finder(name, mend))


class _Finder(importlib.abc.MetaPathFinder):
    """Stands in the import path until its module is loaded."""

    def __init__(self, name: str, mend: Mend) -> None:
        self._name = name
        self._mend = mend

    def find_spec(self, fullname: str, _path: Any = None, _target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Find the module as everybody would, and have it mended after it was executed."""
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec and spec.loader:
            execute = spec.loader.exec_module

            def execute_and_mend(module: ModuleType) -> None:
                execute(module)
                self._mend(module)

            spec.loader.exec_module = execute_and_mend  # type: ignore[method-assign]
        return spec
