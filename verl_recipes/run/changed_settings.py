"""Which settings of a run differ from those it was started with, and which of these may differ.

Composed configurations are compared, so an override that repeats a default is no change. All settings that are not
listed in `MAY_CHANGE` determine what is trained and must stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig

MAY_CHANGE = (  # keys, as patterns
    # data or start model moved, with the same content
    "data.path",
    "model.path",
    # length of the run
    "trainer.total_epochs",
    "trainer.total_training_steps",
    # when a run that diverges or hangs ends
    "trainer.max_nonfinite_steps",
    "trainer.rollout_timeout_s",
    # saving
    "trainer.save_freq",
    "trainer.max_*ckpt_to_keep",
    "trainer.default_hdfs_dir",
    # validation
    "trainer.test_freq",
    "trainer.val_before_train",
    "data.val_files",
    "data.val_batch_size",
    "data.val_max_samples",
    "data.validation_shuffle",
    "actor_rollout_ref.rollout.val_kwargs.*",
    # logging
    "trainer.logger",
    "trainer.project_name",
    "trainer.experiment_name",
    "trainer.log_val_generations",
    "trainer.rollout_data_dir",
    "trainer.validation_data_dir",
    "trainer.completions.*",
    "trainer.profile_interval",
    "*profiler.*",
    "*.prometheus.*",
    "*.trace.*",
    "*.disable_log_stats",
    # micro batches and data loading; a step is the same
    "*micro_batch_size",
    "*micro_batch_size_per_gpu",
    "*max_token_len_per_gpu",
    "*use_dynamic_bsz",
    "*.balance_batch",
    "*.num_workers",
    "*.dataloader_num_workers",
    "*.agent_loop_manager_class",  # the same rows, from media decoded once per prompt or per response
    "data.decoded_media_cache_mb",
    # memory and speed of the trainer
    "*.param_offload",
    "*.optimizer_offload",
    "*.offload_policy",
    "*.reshard_after_forward",
    "*.forward_prefetch",
    "*.ulysses_sequence_parallel_size",
    "*.enable_gradient_checkpointing",
    "*.enable_activation_offload",
    "*.attn_implementation",
    "*.use_remove_padding",
    "*.use_fused_kernels",
    "*.fused_kernel_options.*",
    "*.use_liger",
    "*.tiled_mlp.*",
    "*.use_torch_compile",
    "*.use_no_sync_for_gradient_accumulation",
    "*.entropy_from_logits_with_chunking",
    "*.entropy_from_logits_chunk_size",
    "*.entropy_checkpointing",
    # memory and speed of the rollout engine
    "*.gpu_memory_utilization",
    "*.max_num_seqs",
    "*.max_num_batched_tokens",
    "*.max_model_len",
    "*.enforce_eager",
    "*.cudagraph_capture_sizes",
    "*.free_cache_engine",
    "*.tensor_model_parallel_size",
    "*.enable_chunked_prefill",
    "*.enable_prefix_caching",
    "*.scheduling_policy",
    "*.load_format",
    "*.layered_summon",
    "*.multi_stage_wake_up",
    "*.update_weights_bucket_megabytes",
    # machines; the total number of workers is that of the checkpoint, see `resume.py`
    "trainer.nnodes",
    "trainer.n_gpus_per_node",
    "trainer.ray_wait_register_center_timeout",
    "*.nccl_timeout",
    "ray_kwargs.*",
    "transfer_queue.*",
)
SAVE_CONTENTS = "*checkpoint.save_contents"  # verl also loads what it saves, so what is needed to resume must stay
RESUMABLE = {"model", "optimizer", "extra"}
MODELS = ("model.path", "actor_rollout_ref.model.path")  # compared by checksum instead
UNSET = "unset"


@dataclass(frozen=True)
class Change:
    """A setting with another value than before."""

    setting: str  # key of the configuration; `data`, `model`
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.setting} {_shown(self.before)} → {_shown(self.now)}"

    @property
    def allowed(self) -> bool:
        """Whether a run may resume with this change."""
        if fnmatchcase(self.setting, SAVE_CONTENTS):
            return isinstance(self.now, list) and set(self.now) >= RESUMABLE
        return any(fnmatchcase(self.setting, pattern) for pattern in MAY_CHANGE)


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def config_changes(before: DictConfig, now: DictConfig) -> list[Change]:
    """Settings with different values in two configurations, without those that only follow from another one."""
    old, new = _values(before, resolve=True), _values(now, resolve=True)
    old_source, new_source = _values(before, resolve=False), _values(now, resolve=False)
    return [
        Change(key, old.get(key, UNSET), new.get(key, UNSET))
        for key in {**old, **new}
        if key not in MODELS
        and old.get(key, UNSET) != new.get(key, UNSET)
        and old_source.get(key, UNSET) != new_source.get(key, UNSET)
    ]


def _values(config: DictConfig, *, resolve: bool) -> dict[str, Any]:
    from omegaconf import OmegaConf

    content = OmegaConf.to_container(config, resolve=resolve)
    assert isinstance(content, dict)
    return dict(_leaves(content))


def _leaves(node: Mapping[Any, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value
