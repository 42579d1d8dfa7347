"""Patch verl to end a run whose vLLM workers do not take new weights, with the reason.

verl's trainer requests vLLM's workers to receive weights, sends these in buckets through a socket, and waits for an
answer to each bucket. A worker that raised an error, or whose process died, never connects or never answers. The
trainer would wait forever, although its request has failed. With this patch it looks at the request while it waits.
"""

from __future__ import annotations

import functools
from typing import Any

from verl_recipes.inside_verl.patch_on_import import when_imported

ADAPTER = "verl.workers.rollout.vllm_rollout.vllm_rollout"
TRANSFER = "verl.workers.rollout.vllm_rollout.bucketed_weight_transfer"
POLL_MS = 1000  # interval at which the request is looked at
_requests: dict[str, Any] = {}  # Ray's reference to a running request by the address of its socket


class WeightsNotTaken(RuntimeError):
    """A rollout server failed to take new weights."""


def install() -> None:
    """Patch verl's modules, now or when they are imported. Calling it again has no effect."""
    when_imported(ADAPTER, keep_requests)
    when_imported(TRANSFER, watch_answers)


def keep_requests(module: Any) -> None:
    """Patch the module `ADAPTER` to keep the request to the server for the socket."""
    execute = module.ServerAdapter._execute_method

    @functools.wraps(execute)
    async def _execute_method(adapter: Any, method: str, non_block: bool = False, **rest: Any) -> Any:
        answer = await execute(adapter, method, non_block, **rest)
        if non_block and answer is not None:
            _requests[adapter.zmq_handle] = answer
        return answer

    module.ServerAdapter._execute_method = _execute_method


def watch_answers(module: Any) -> None:
    """Patch the module `TRANSFER` so that the sender of weights looks at the request while it waits for answers."""
    create = module.BucketedWeightSender._init_socket

    @functools.wraps(create)
    def _init_socket(sender: Any) -> None:
        create(sender)
        sender.socket = WatchedSocket(sender.socket, _requests.pop(sender.zmq_handle, None))

    module.BucketedWeightSender._init_socket = _init_socket


class WatchedSocket:
    """A ZMQ socket that raises `WeightsNotTaken` instead of waiting for a worker whose request has failed."""

    def __init__(self, socket: Any, request: Any) -> None:
        """Wrap a socket.

        Args:
            socket: The sender's socket.
            request: Ray's reference to the request; None if another rank made it.
        """
        self._socket = socket
        self._request = request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def send_pyobj(self, message: Any) -> None:
        """Wait until a worker is connected, and send it a message."""
        import zmq

        self._wait(zmq.POLLOUT)
        self._socket.send_pyobj(message)

    def recv(self) -> Any:
        """Wait for an answer, and return it."""
        import zmq

        self._wait(zmq.POLLIN)
        return self._socket.recv()

    def close(self) -> None:
        """Close the socket without waiting for weights that nobody receives."""
        self._socket.close(linger=0)

    def _wait(self, event: int) -> None:
        while not self._socket.poll(POLL_MS, event):
            self._raise_if_failed()

    def _raise_if_failed(self) -> None:
        import ray

        if self._request is None or not ray.wait([self._request], timeout=0)[0]:
            return
        try:
            ray.get(self._request)
        except Exception as error:  # of any type: that of the server
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise WeightsNotTaken(f"a rollout server did not take the new weights: {reason}") from error
