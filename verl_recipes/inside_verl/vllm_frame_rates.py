"""Have vLLM's Qwen2.5-VL keep the frame rates that verl sends beside the frames of its clips.

vLLM 0.24 splits them off and calls transformers' processor with the frames alone, which takes 24 frames a second for
every clip: at 12, the policy would be trained on answers it gave to films at twice their speed. From the seconds a grid
on, vLLM's positions are right. Its Qwen3-VL keeps the rates, and this does the same in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VLLM_MODEL = "vllm.model_executor.models.qwen2_5_vl"


def keep_frame_rates(module: Any) -> None:
    """Mend vLLM's module of Qwen2.5-VL."""
    info, processor = module.Qwen2_5_VLProcessingInfo, module.Qwen2_5_VLMultiModalProcessor
    info.get_data_parser = _parser_with_rates(info.get_data_parser)
    processor._call_hf_processor = _call_with_rates(processor._call_hf_processor)


def _parser_with_rates(parser_of: Any) -> Any:
    def get_data_parser(info: Any) -> Any:
        parser = parser_of(info)
        split = parser._get_video_with_metadata
        parser.video_needs_metadata = True
        # The clips vLLM measures its memory with have no metadata, and need none.
        parser._get_video_with_metadata = lambda clip: (split(clip)[0], split(clip)[1] or {})
        return parser

    return get_data_parser


def _call_with_rates(call: Any) -> Any:
    def _call_hf_processor(processor: Any, prompt: str, mm_data: Mapping[str, Any], *rest: Any, **named: Any) -> Any:
        if clips := mm_data.get("videos"):
            told = [{"total_num_frames": len(frames), **rate} for frames, rate in clips]
            frames_only = {"videos": [frames for frames, _rate in clips], "video_metadata": told}
            mm_data = {**mm_data, **frames_only, "do_sample_frames": False}
        return call(processor, prompt, mm_data, *rest, **named)

    return _call_hf_processor
