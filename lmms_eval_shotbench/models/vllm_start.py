"""Starting vLLM for `shotvl`: its arguments, its limits, and a check of what reaches the model."""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from unittest.mock import patch

import torch

from lmms_eval_shotbench.models.engine import EngineFailed, EngineUnavailable
from lmms_eval_shotbench.models.planning import Plan
from lmms_eval_shotbench.models.vllm_inputs import MODALITIES, engine_input, processed_item
from lmms_eval_shotbench.models.vllm_worker import digest
from lmms_eval_shotbench.qwen.input_rules import InputRules
from lmms_eval_shotbench.qwen.inputs import Prompt
from lmms_eval_shotbench.qwen.pixel_values import vision_inputs
from lmms_eval_shotbench.vocabulary import MediaKind

if TYPE_CHECKING:
    from vllm import LLM

WITHOUT = "use engine=transformers to run without vLLM"
OURS = {  # set here, because responses depend on them
    "model", "revision", "dtype", "limit_mm_per_prompt", "mm_processor_cache_gb", "generation_config",
    "worker_extension_cls", "tokenizer", "hf_overrides", "data_parallel_size", "video_pruning_rate",
}  # fmt: skip
# Arguments of memory and speed, which do not change a response
MEMORY = {"gpu_memory_utilization", "kv_cache_memory_bytes", "max_model_len", "max_num_seqs", "max_num_batched_tokens"}
# Environment variables of a process group, of torchrun and accelerate; with them, vLLM would wait for other ranks
OF_RANKS = re.compile(r"(LOCAL_|GROUP_|ROLE_)?(RANK|WORLD_SIZE)$|MASTER_(ADDR|PORT)$|TORCHELASTIC_|ROLE_NAME$")
TOKENS_A_STEP, CPU_TOKENS_A_STEP = 8192, 4096  # least that vLLM has by default


class Limits(NamedTuple):
    """Sizes that vLLM must accept: tokens of the longest prompt, and media of each kind in one prompt."""

    tokens: int
    stills: int
    clips: int

    @classmethod
    def of(cls, plans: Sequence[Plan]) -> Self:
        """Return the limits of plans; the length of a clip is an estimate, so 1/16 is added."""
        counts = [Counter(medium.kind for medium in chat.media) for plan in plans for chat in plan.chats]
        stills, clips = (max(1, *(count[kind] for count in counts)) for kind in (MediaKind.STILL, MediaKind.CLIP))
        return cls(max(prompt.tokens for plan in plans for prompt in plan.prompts) * 17 // 16, stills, clips)


@dataclasses.dataclass(frozen=True)
class VllmArguments:
    """Arguments of `vllm.LLM`.

    Attributes:
        pretrained: Folder or Hub id of the checkpoint.
        revision: Revision of the Hub repository.
        device: Device of the model.
        dtype: dtype of the model.
        further: As given by the user, such as tensor_parallel_size.
    """

    pretrained: str
    revision: str | None
    device: torch.device
    dtype: torch.dtype
    further: Mapping[str, Any]

    def check(self) -> None:
        """Import vLLM and check the names of the arguments; raises `EngineUnavailable`."""
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        try:
            from vllm import EngineArgs
        except ModuleNotFoundError as error:
            if error.name != "vllm":
                raise _broken(error) from None
            raise EngineUnavailable(
                f"engine=vllm needs vLLM, which is not installed: pip install vllm; or {WITHOUT}"
            ) from None
        except Exception as error:  # of any type: a build for another CUDA, torch or machine
            raise _broken(error) from None
        known = {field.name for field in dataclasses.fields(EngineArgs)} - OURS
        if unknown := sorted(set(self.further) - known):
            if "data_parallel_size" in unknown:
                raise EngineUnavailable(
                    "data_parallel_size: start a process for each replica, "
                    "such as accelerate launch --num_processes 8; each has its own GPUs"
                )
            reason = "set by shotvl itself" if set(unknown) <= OURS else "no arguments of shotvl or of vLLM"
            raise EngineUnavailable(f"{', '.join(unknown)}: {reason}")

    def numerics(self) -> list[Any]:
        """Versions, device, dtype and arguments that may change a response."""
        import vllm

        further = {name: value for name, value in self.further.items() if name not in MEMORY}
        return [self.device.type, str(self.dtype), f"vllm {vllm.__version__}", f"torch {torch.__version__}", further]

    def sized(self, limits: Limits) -> dict[str, Any]:
        """Return all arguments, so that each medium of a plan fits into the cache of the vision tower."""
        by_default = CPU_TOKENS_A_STEP if self.device.type == "cpu" else TOKENS_A_STEP
        more = {"max_num_batched_tokens": limits.tokens} if limits.tokens > by_default else {}
        return {
            "model": self.pretrained,
            "revision": self.revision,
            "dtype": str(self.dtype).removeprefix("torch."),
            "limit_mm_per_prompt": {
                MODALITIES[MediaKind.STILL]: limits.stills,
                MODALITIES[MediaKind.CLIP]: limits.clips,
            },
            "mm_processor_cache_gb": 0,  # media of inputs that are processed already must be passed with each request
            "generation_config": "vllm",  # see `vllm_sampling.py`
            "worker_extension_cls": "lmms_eval_shotbench.models.vllm_worker.WorkerExtension",
            "max_model_len": -1,  # as much as fits into memory
            **more,
            **self.further,
        }


def start_vllm(arguments: VllmArguments, rules: InputRules, limits: Limits) -> LLM:
    """Start vLLM and check what reaches the model; raises `EngineFailed`."""
    import vllm.v1.engine.core
    from vllm import LLM

    from lmms_eval_shotbench.models.vllm_orphans import end_with_parent

    end_with_parent(vllm.v1.engine.core)
    given = arguments.sized(limits)
    try:
        with _own_gpus(arguments.device, int(given.get("tensor_parallel_size", 1))):
            llm = LLM(**given)
    except Exception as error:  # of any type: memory, the architecture, a worker that died
        raise EngineFailed(f"vLLM did not start: {error}; see its messages above, or {WITHOUT}") from error
    check_inputs(llm, rules, arguments.dtype)
    return llm


@contextmanager
def _own_gpus(device: torch.device, gpus: int) -> Iterator[None]:
    """Start an engine under several ranks, each on GPUs of its own."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    with patch.dict(os.environ, rank_environment(os.environ, device, gpus), clear=True):
        yield


def rank_environment(given: Mapping[str, str], device: torch.device, gpus: int) -> dict[str, str]:
    """Return the environment of one rank's engine, which knows of no other rank.

    The engine must be another process, since this one belongs to the process group of all ranks.

    Args:
        given: Environment of the rank.
        device: Device of the model.
        gpus: Number of GPUs of an engine.

    Raises:
        EngineFailed: There are not enough GPUs on this node.
    """
    alone = {name: value for name, value in given.items() if not OF_RANKS.match(name)}
    alone["VLLM_ENABLE_V1_MULTIPROCESSING"] = "1"
    if device.type != "cuda":
        return alone
    ranks = int(given.get("LOCAL_WORLD_SIZE", given["WORLD_SIZE"]))
    visible = given.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(torch.cuda.device_count())))).split(",")
    if len(visible) < ranks * gpus:
        raise EngineFailed(
            f"{ranks} ranks with tensor_parallel_size={gpus} need {ranks * gpus} GPUs, not {len(visible)}"
        )
    first = int(given.get("LOCAL_RANK", 0)) * gpus
    return alone | {"CUDA_VISIBLE_DEVICES": ",".join(visible[first : first + gpus])}


def check_inputs(llm: LLM, rules: InputRules, dtype: torch.dtype) -> None:
    """Run a small still and a clip, and compare pixel values and positions in the model with those of transformers.

    Raises:
        EngineFailed: They differ, or the media did not reach the model.
    """
    for kind in MediaKind:
        prompt = rules.probe(kind)
        inputs = engine_input(
            prompt, [f"probe {kind}"], [processed_item(one, rules, dtype) for one in prompt.media], rules
        )
        llm.collective_rpc("record_inputs")
        answer_one(llm, inputs)
        for recorded in llm.collective_rpc("recorded_inputs"):
            if recorded != expected_inputs(prompt, rules, dtype):
                raise EngineFailed(
                    f"vLLM {_version()} gives the model other pixels or positions of a {kind.value} than transformers, "
                    f"so responses would not be comparable; use a tested version (see docs/backends.md), or {WITHOUT}"
                )


def answer_one(llm: LLM, inputs: Any) -> None:
    """Generate one token; raises `EngineFailed`."""
    from vllm import SamplingParams

    with engine_death_reported():
        llm.llm_engine.add_request("probe", inputs, SamplingParams(temperature=0, max_tokens=1, detokenize=False))
        while llm.llm_engine.has_unfinished_requests():
            llm.llm_engine.step()


@contextmanager
def engine_death_reported() -> Iterator[None]:
    """Raise `EngineFailed` if the engine's process turns out to have ended."""
    from vllm.v1.engine.exceptions import EngineDeadError

    try:
        yield
    except EngineDeadError as error:
        raise EngineFailed(
            f"vLLM's engine ended: {error}; see its messages above. The same command continues"
        ) from None


def expected_inputs(prompt: Prompt, rules: InputRules, dtype: torch.dtype) -> dict[str, list[Any]]:
    """Return what `WorkerExtension.recorded_inputs` returns for a prompt with one medium."""
    values, grids = vision_inputs(prompt.media, rules.patch_rule, torch.device("cpu"), dtype).values()
    batch = rules.architecture.padded([prompt])
    return {
        "media": [[grids[0].tolist(), digest(values)]],
        "positions": [[batch["input_ids"][0].tolist(), batch["position_ids"][:, 0].tolist()]],
    }


def _broken(error: Exception) -> EngineUnavailable:
    return EngineUnavailable(f"vLLM cannot be imported: {error}; install it again, or {WITHOUT}")


def _version() -> str:
    import vllm

    return str(vllm.__version__)
