"""Patch a module of another package when it is imported, without importing it.

verl imports its plugins in every process. Many of these never load a model, and importing transformers or vLLM in the
plugin would delay each of them by seconds.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

Patch = Callable[[Any], None]
_registered: set[tuple[str, Patch]] = set()


def when_imported(name: str, patch: Patch) -> None:
    """Call `patch` with the module `name`, now if it is imported, else right after its import.

    Calling this again with the same arguments has no effect.
    """
    if (name, patch) in _registered:
        return
    _registered.add((name, patch))
    if name in sys.modules:
        patch(sys.modules[name])
    else:
        sys.meta_path.insert(0, _Finder(name, patch))


def unpatched(name: str) -> ModuleType:
    """Execute a new copy of the module `name` without patches; the imported one is not affected."""
    package = importlib.import_module(name.rpartition(".")[0])
    spec = importlib.machinery.PathFinder.find_spec(name, package.__path__)
    assert spec is not None and spec.loader is not None
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    return copy


class _Finder(importlib.abc.MetaPathFinder):
    """A finder that patches one module when it is imported; it removes itself from `sys.meta_path` then."""

    def __init__(self, name: str, patch: Patch) -> None:
        self._name = name
        self._patch = patch

    def find_spec(self, fullname: str, _path: Any = None, _target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Find the module as usual, and patch it after it has been executed."""
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec and spec.loader:
            execute = spec.loader.exec_module

            def execute_and_patch(module: ModuleType) -> None:
                execute(module)
                self._patch(module)

            spec.loader.exec_module = execute_and_patch  # type: ignore[method-assign]
        return spec
