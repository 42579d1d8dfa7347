"""A rollout server that does not take new weights ends the run: verl's sender of weights, without Ray and vLLM."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.verl
verl = pytest.importorskip("verl")
torch = pytest.importorskip("torch")
ray = pytest.importorskip("ray")

from verl_recipes.inside_verl import weight_sync

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4)}


@pytest.fixture
def transfer(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A copy of verl's module with the sender and the receiver, patched, on shared memory."""
    path = Path(verl.__file__).parent.joinpath(*weight_sync.TRANSFER.split(".")[1:]).with_suffix(".py")
    spec = importlib.util.spec_from_file_location("transfer", path)  # its package imports vLLM
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    weight_sync.watch_answers(module)
    monkeypatch.setattr(weight_sync, "POLL_MS", 10)
    monkeypatch.setattr(module, "is_support_ipc", lambda: False)
    device = SimpleNamespace(synchronize=lambda: None, empty_cache=lambda: None)
    monkeypatch.setattr(module, "get_torch_device", lambda: device)
    return module


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a request that is kept as that of a server; Ray reports the request's state."""
    request: Any = SimpleNamespace(failure=None)
    found = f"ipc://{tmp_path}/weights.sock"
    monkeypatch.setitem(weight_sync._requests, found, request)
    monkeypatch.setattr(ray, "wait", lambda requests, timeout: ([each for each in requests if each.failure], []))
    monkeypatch.setattr(ray, "get", lambda each: (_ for _ in ()).throw(each.failure))
    yield found


def send(transfer: ModuleType, address: str) -> None:
    sender = transfer.BucketedWeightSender(address, bucket_size_mb=1, use_shm=True)
    asyncio.run(sender.async_send_weights(iter(WEIGHTS.items())))


def test_weights_arrive_as_before(transfer: ModuleType, address: str) -> None:
    received: dict[str, Any] = {}
    receiver = transfer.BucketedWeightReceiver(address, torch.device("cpu"), use_shm=True)

    def keep(weights: list[tuple[str, Any]], is_last: bool) -> None:
        received.update((name, weight.clone()) for name, weight in weights)

    thread = threading.Thread(target=receiver.receive_weights, args=(keep,))
    thread.start()
    send(transfer, address)
    thread.join()
    assert all(torch.equal(received[name], weight) for name, weight in WEIGHTS.items())


@pytest.mark.parametrize("connected", [False, True], ids=["the worker died before it", "it failed at the weights"])
def test_a_request_that_failed_ends_the_wait_with_its_last_line(
    transfer: ModuleType, address: str, connected: bool
) -> None:
    request = weight_sync._requests[address]

    def fail(*_: Any) -> None:
        request.failure = RuntimeError("Traceback …\nException: no such weight")
        raise request.failure

    receiver = transfer.BucketedWeightReceiver(address, torch.device("cpu"), use_shm=True)
    worker = threading.Thread(
        target=lambda: suppressed(receiver.receive_weights, fail) if connected else suppressed(fail)
    )
    worker.start()
    with pytest.raises(weight_sync.WeightsNotTaken, match=r"did not take the new weights: Exception: no such weight$"):
        send(transfer, address)
    worker.join()


def suppressed(function: Any, *arguments: Any) -> None:
    with suppress(Exception):  # the receiver cannot release the shared memory of weights that are in its traceback
        function(*arguments)


def test_the_request_to_the_server_is_kept_for_the_socket() -> None:
    class ServerAdapter:
        zmq_handle = "ipc://of-this-adapter"

        async def _execute_method(self, method: str, non_block: bool = False, **_: Any) -> Any:
            return method

    weight_sync.keep_requests(SimpleNamespace(ServerAdapter=ServerAdapter))
    adapter = ServerAdapter()
    assert asyncio.run(adapter._execute_method("sleep")) == "sleep"
    assert adapter.zmq_handle not in weight_sync._requests
    assert asyncio.run(adapter._execute_method("update", non_block=True, kwargs={})) == "update"
    assert weight_sync._requests.pop(adapter.zmq_handle) == "update"
