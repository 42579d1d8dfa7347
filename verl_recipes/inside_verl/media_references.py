"""Media passed between the processes of a run by reference, through Ray's object store.

verl sends the frames of a clip to the rollout server, and its pixel values to TransferQueue, once per response. Here
both are written to the object store once per prompt:

* The rollout server gets an `ObjectRef` as the argument of its method. Ray replaces it by the object.
* Rows in TransferQueue get a `PromptInputs`, which is pickled as the name of the agent loop worker and the id of the
  prompt. TransferQueue pickles rows itself, and an `ObjectRef` pickled outside of Ray's calls is never freed; so the
  actor and the reference ask the worker for it. The worker keeps the object until the last row has left the queue.

Tensors are written as NumPy arrays, which Ray reads without a copy; on other nodes there is one copy per node. What is
read is therefore read-only.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import ItemsView, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from verl_recipes.inside_verl import prompt_media

if TYPE_CHECKING:
    import numpy
    import torch


class InputsUnavailable(RuntimeError):
    """The pixel values of a prompt are no longer in Ray's object store."""


class _AsArray:
    """A tensor that is pickled as a NumPy array."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor = tensor

    def __reduce__(self) -> tuple[Any, tuple[numpy.ndarray[Any, Any]]]:
        return _tensor_of, (self._tensor.numpy(),)


def _tensor_of(array: numpy.ndarray[Any, Any]) -> torch.Tensor:
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _with_arrays(value: Any) -> Any:
    """The same value with arrays in the place of tensors, at any depth of dictionaries, lists and tuples."""
    import torch

    if isinstance(value, torch.Tensor) and value.dtype is not torch.bfloat16:  # NumPy has no bfloat16
        return _AsArray(value.contiguous())
    if isinstance(value, dict):
        return {name: _with_arrays(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_with_arrays, value))
    return value


async def put(value: Any) -> Any:
    """Write a value to the object store without blocking other tasks, and return its `ObjectRef`."""
    import ray

    return await asyncio.get_running_loop().run_in_executor(None, lambda: ray.put(_with_arrays(value)))


class ReferencingClient:
    """verl's client of the rollout servers, which sends the shared media of a prompt by reference."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        if name == "_client":  # while unpickled
            raise AttributeError(name)
        return getattr(self._client, name)

    async def generate(
        self,
        request_id: str,
        *,
        image_data: Sequence[Any] | None = None,
        video_data: Sequence[Any] | None = None,
        **arguments: Any,
    ) -> Any:
        """Generate as verl's client does."""
        images, videos = await _reference(image_data), await _reference(video_data)
        return await self._client.generate(request_id, image_data=images, video_data=videos, **arguments)


async def _reference(media: Sequence[Any] | None) -> Any:
    """An `ObjectRef` to media that the responses to a prompt share; other media as they are."""
    shared = prompt_media.current()
    if not media or shared is None or not shared.shares(media):
        return media
    return await shared.once(("reference", *map(id, media)), lambda: put(list(media)))


class PromptInputs:
    """Model inputs of a prompt's media with the methods of a dictionary that verl uses.

    An unpickled one has no values yet and fetches them when they are first used. It is equal only to itself, as
    TensorDict would merge equal values of a column into one.
    """

    def __init__(self, owner: str, uid: str, values: Mapping[str, torch.Tensor] | None = None) -> None:
        """Create the inputs of one response.

        Args:
            owner: Name of the agent loop worker that holds the values.
            uid: verl's id of the prompt.
            values: Tensors by argument of the model's forward, copied; None to fetch them.
        """
        self._owner, self._uid = owner, uid
        self._values = None if values is None else dict(values)

    def __reduce__(self) -> tuple[type[PromptInputs], tuple[str, str]]:
        return PromptInputs, (self._owner, self._uid)

    def _fetched(self) -> dict[str, torch.Tensor]:
        if self._values is None:
            self._values = fetch(self._owner, self._uid)
        return self._values

    def __contains__(self, name: str) -> bool:
        return name in self._fetched()

    def items(self) -> ItemsView[str, torch.Tensor]:
        """Names and tensors."""
        return self._fetched().items()

    def get(self, name: str, default: Any = None) -> Any:
        """The tensor of this name, or the default."""
        return self._fetched().get(name, default)

    def pop(self, name: str, default: Any = None) -> Any:
        """Remove a tensor from the inputs of this response only."""
        return self._fetched().pop(name, default)


def fetch(owner: str, uid: str) -> dict[str, torch.Tensor]:
    """Read the model inputs of a prompt from the object store.

    Raises:
        InputsUnavailable: The agent loop worker has ended or has released them.
    """
    import ray

    try:
        held: list[Any] = ray.get(ray.get_actor(owner).stored_inputs.remote(uid))
        inputs: dict[str, torch.Tensor] = ray.get(held[0])
    except (ValueError, KeyError, ray.exceptions.RayError) as error:
        raise InputsUnavailable(
            f"the pixel values of prompt {uid} cannot be read from the agent loop worker {owner}: {error}; resume the "
            "run by the same command, or set actor_rollout_ref.rollout.agent.agent_loop_manager_class=null to send "
            "them through TransferQueue"
        ) from error
    return inputs


@dataclass
class _Stored:
    reference: Any  # ObjectRef
    rows: set[str] = field(default_factory=set)  # keys of the rows in the queue


class StoredInputs:
    """The model inputs that an agent loop worker holds in the object store, by prompt."""

    def __init__(self) -> None:
        self._stored: dict[str, _Stored] = {}

    def __len__(self) -> int:
        return len(self._stored)

    def __contains__(self, uid: str) -> bool:
        return uid in self._stored

    def add(self, uid: str, reference: Any) -> None:
        """Hold the inputs of a prompt until `end` or `release` frees them."""
        self._stored[uid] = _Stored(reference)

    def reference(self, uid: str) -> Any:
        """The `ObjectRef` of a prompt's inputs; `KeyError` if they are not held."""
        return self._stored[uid].reference

    def written(self, uid: str, rows: Iterable[str]) -> None:
        """Note that these rows of a prompt are in the queue."""
        if uid in self._stored:
            self._stored[uid].rows.update(rows)

    def end(self, uid: str) -> None:
        """Free the inputs of a prompt of whose responses none is in the queue; there will be no more responses."""
        if uid in self._stored and not self._stored[uid].rows:
            del self._stored[uid]

    def release(self, rows: Iterable[str]) -> None:
        """Free the inputs of prompts whose last row was removed from the queue.

        Args:
            rows: Keys that were removed, `<uid>_<session>_<output>`; other keys are ignored.
        """
        for row in rows:
            uid = row.rsplit("_", 2)[0]
            if uid in self._stored and row in self._stored[uid].rows:
                self._stored[uid].rows.remove(row)
                self.end(uid)
