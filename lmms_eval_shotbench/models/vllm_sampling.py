"""Generation settings as vLLM's `SamplingParams`, with what a checkpoint's generation_config.json adds to them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from lmms_eval_shotbench.models.chats import GenerationSettings
from lmms_eval_shotbench.models.engine import EngineUnavailable
from lmms_eval_shotbench.qwen.input_rules import InputRules

if TYPE_CHECKING:
    from vllm import SamplingParams

UNSUPPORTED = (  # settings that transformers applies and vLLM does not have
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
    "bad_words_ids",
    "forced_eos_token_id",
    "exponential_decay_length_penalty",
    "sequence_bias",
)
MAX_TEMPERATURE = 2


def sampling_parameters(rules: InputRules, settings: GenerationSettings, seed: str) -> SamplingParams:
    """Return the parameters of a request in this process, see `sampling_fields`; raises `EngineUnavailable`."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        **sampling_fields(rules, settings, seed),
        detokenize=bool(settings.stop_strings),
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def sampling_fields(rules: InputRules, settings: GenerationSettings, seed: str) -> dict[str, Any]:
    """Return the parameters of a request by their names in vLLM; decoding is greedy without `settings.sampling`.

    vLLM ignores the checkpoint's own settings if parameters are given, so those that also count for greedy decoding,
    such as Qwen2.5-VL's repetition penalty, are repeated here.

    Args:
        rules: Input rules of the checkpoint.
        settings: Settings of the request.
        seed: Anything; the same seed draws the same response.

    Raises:
        EngineUnavailable: The checkpoint has settings that vLLM does not have.
    """
    own, sampling = rules.generation_config, settings.sampling
    suppressed_first = set(own.begin_suppress_tokens or ())
    unsupported = [name for name in UNSUPPORTED if getattr(own, name, None)]
    unsupported += ["begin_suppress_tokens"] if suppressed_first - rules.end_tokens else []
    unsupported += ["typical_p"] if sampling and (getattr(own, "typical_p", None) or 1.0) != 1.0 else []
    if unsupported:
        raise EngineUnavailable(
            f"the checkpoint's generation_config.json has {', '.join(unsupported)}, which vLLM does not apply; "
            "use engine=transformers"
        )
    if sampling and sampling.temperature > MAX_TEMPERATURE:
        raise EngineUnavailable(
            f"temperature={sampling.temperature:g}: vLLM samples at temperatures up to {MAX_TEMPERATURE}; "
            "use engine=transformers"
        )
    suppressed = set(own.suppress_tokens or ())
    vocabulary = range(rules.config.get_text_config().vocab_size)
    return {
        "temperature": sampling.temperature if sampling else 0.0,
        "top_p": sampling.top_p if sampling else 1.0,
        "top_k": sampling.top_k if sampling else 0,
        "min_p": (own.min_p if sampling else None) or 0.0,
        "seed": int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4]) if sampling else None,
        "repetition_penalty": own.repetition_penalty or 1.0,
        "max_tokens": settings.max_new_tokens,
        "min_tokens": max(own.min_new_tokens or 0, 1 if suppressed_first else 0),
        "stop": list(settings.stop_strings),
        "stop_token_ids": sorted(rules.end_tokens),
        "allowed_token_ids": [token for token in vocabulary if token not in suppressed] if suppressed else None,
    }
