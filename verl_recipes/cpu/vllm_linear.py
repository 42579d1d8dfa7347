"""Patch vLLM's CPU build to keep the weights of linear layers, so that the trainer can send new ones.

After loading, vLLM packs the weight of every linear layer for oneDNN and replaces the parameter by an empty tensor.
verl sends new weights to the running server after every update, and vLLM fails: "Attempted to load weight … into
parameter (torch.Size([0]))". Without oneDNN, vLLM uses torch's linear function on the parameter itself, as it does on
processors that it has no packing for.
"""

from __future__ import annotations

from types import ModuleType

MODULE = "vllm._custom_ops"


def apply(operators: ModuleType) -> None:
    """Let vLLM's module of operators report that it has no oneDNN."""
    operators._supports_onednn = False  # type: ignore[attr-defined]  # vLLM reads it when weights were loaded


def still_needed() -> bool:
    """Whether vLLM still empties the weight of a linear layer; needs its CPU build."""
    import torch
    from vllm import _custom_ops
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

    layer = torch.nn.Linear(64, 64, bias=False)
    supported = _custom_ops._supports_onednn
    _custom_ops._supports_onednn = hasattr(torch.ops._C, "create_onednn_mm_handler")  # as in vLLM, without the patch
    try:
        dispatch_cpu_unquantized_gemm(layer, remove_weight=True)
    finally:
        _custom_ops._supports_onednn = supported
    return int(layer.weight.numel()) == 0
