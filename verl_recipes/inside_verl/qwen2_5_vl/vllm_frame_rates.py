"""Patch vLLM's Qwen2.5-VL to keep the frame rates that verl sends along with the frames of clips.

vLLM 0.24 drops the rates and passes only the frames to transformers' processor, which then assumes 24 frames per
second. A clip sampled at 12 frames per second would be generated from as if it ran at twice its speed. This patch
passes them on, as vLLM's Qwen3-VL does.

vLLM moreover casts all floats of a processor's output to the type of the model (`InputProcessingContext` in
`vllm/multimodal/processing/context.py`), including the seconds per temporal grid step. In bfloat16 these have 8 bits,
and many time positions are off by one. They are therefore set again after the cast, in float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verl_recipes.inside_verl.qwen2_5_vl.seconds_per_grid import exact_seconds

VLLM_MODEL = "vllm.model_executor.models.qwen2_5_vl"


def keep_frame_rates(module: Any) -> None:
    """Patch vLLM's module `VLLM_MODEL` so that clips keep their metadata up to the processor."""
    info, processor = module.Qwen2_5_VLProcessingInfo, module.Qwen2_5_VLMultiModalProcessor
    info.get_data_parser = _parser_with_rates(info.get_data_parser)
    processor._call_hf_processor = _call_with_rates(processor._call_hf_processor)


def _parser_with_rates(parser_of: Any) -> Any:
    def get_data_parser(info: Any) -> Any:
        parser = parser_of(info)
        split = parser._get_video_with_metadata
        parser.video_needs_metadata = True
        # The dummy clips of vLLM's memory profiling have no metadata and need none.
        parser._get_video_with_metadata = lambda clip: (split(clip)[0], split(clip)[1] or {})
        return parser

    return get_data_parser


def _call_with_rates(call: Any) -> Any:
    def _call_hf_processor(processor: Any, prompt: str, mm_data: Mapping[str, Any], *rest: Any, **named: Any) -> Any:
        clips = mm_data.get("videos")
        if not clips:
            return call(processor, prompt, mm_data, *rest, **named)
        metadata = [{"total_num_frames": len(frames), **rate} for frames, rate in clips]
        frames_only = {"videos": [frames for frames, _rate in clips], "video_metadata": metadata}
        output = call(processor, prompt, {**mm_data, **frames_only, "do_sample_frames": False}, *rest, **named)
        config = processor.info.get_hf_config()
        output["second_per_grid_ts"] = exact_seconds(output["video_grid_thw"], metadata, config)
        return output

    return _call_hf_processor
