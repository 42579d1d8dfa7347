#!/usr/bin/env bash
# GRPO with verl's own entry point, for users who start verl by script. `shotbench train grpo` also writes the rows,
# checks everything in advance and reports problems before a run occupies a GPU.
#
#   SIZE=7b ROWS=RUN/rows MODEL=SFT_MODEL OUT=RUN bash run_grpo.sh actor_rollout_ref.rollout.n=8
set -euo pipefail

# ---- adjust ----
SIZE=${SIZE:-3b}             # 3b, 7b, 3b_lora, qwen3vl_4b, qwen3vl_8b, tiny
ROWS=${ROWS:-rows}           # folder with grpo.parquet and dev.parquet; every node must see it under this path
MODEL=${MODEL:-}             # model to start from (default: the recipe's)
OUT=${OUT:-runs/grpo_$SIZE}  # on several nodes: a shared folder
NNODES=${NNODES:-}           # default: the recipe's
NGPUS_PER_NODE=${NGPUS_PER_NODE:-}
INFER_BACKEND=${INFER_BACKEND:-}  # vllm, sglang
REWARD=${REWARD:-ours}            # ours, paper
PYTHON=${PYTHON:-python3}
# ----------------

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROWS=$(realpath -m "$ROWS")
OUT=$(realpath -m "$OUT")

# The driver imports verl before it loads the recipe, so the recipe's environment variables must be set in advance.
VARIABLES=$("$PYTHON" -c 'import sys
from verl_recipes import recipes
for pair in recipes.environment(recipes.compose(*sys.argv[1:3])).items():
    print("=".join(pair))' grpo "$SIZE")
while IFS= read -r variable; do export "${variable?}"; done <<< "$VARIABLES"

DATA=(
    data.train_files="$ROWS/grpo.parquet"
    data.val_files="$ROWS/dev.parquet"
)
ACTOR=()
[[ -z $MODEL ]] || ACTOR+=(actor_rollout_ref.model.path="$MODEL")
ROLLOUT=()
[[ -z $INFER_BACKEND ]] || ROLLOUT+=(actor_rollout_ref.rollout.name="$INFER_BACKEND")
REWARD_TERMS=(answer_reward="$REWARD")
TRAINER=(trainer.default_local_dir="$OUT/checkpoints")
[[ -z $NNODES ]] || TRAINER+=(trainer.nnodes="$NNODES")
[[ -z $NGPUS_PER_NODE ]] || TRAINER+=(trainer.n_gpus_per_node="$NGPUS_PER_NODE")

exec "$PYTHON" -m verl.trainer.main_ppo --config-dir "$HERE/config" --config-name "grpo_$SIZE" \
    "${DATA[@]}" "${ACTOR[@]}" "${ROLLOUT[@]}" "${REWARD_TERMS[@]}" "${TRAINER[@]}" "$@"
