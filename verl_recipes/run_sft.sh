#!/usr/bin/env bash
# SFT with verl's Ray trainer through our entry point, for users who start verl by script. `shotbench train sft` and
# `cot-sft` also write the rows, check everything in advance and report problems before a run occupies a GPU.
#
#   METHOD=cot_sft SIZE=7b ROWS=RUN/rows OUT=RUN bash run_sft.sh optim.lr=5e-6
set -euo pipefail

# ---- adjust ----
METHOD=${METHOD:-sft}            # sft (letters), cot_sft (chains of thought)
SIZE=${SIZE:-3b}                 # 3b, 7b, 3b_lora, qwen3vl_4b, qwen3vl_8b, tiny
ROWS=${ROWS:-rows}               # folder with sft.parquet and dev.parquet; every node must see it under this path
MODEL=${MODEL:-}                 # model to start from (default: the recipe's)
OUT=${OUT:-runs/${METHOD}_$SIZE} # on several nodes: a shared folder
NNODES=${NNODES:-}               # default: the recipe's
NGPUS_PER_NODE=${NGPUS_PER_NODE:-}
PYTHON=${PYTHON:-python3}
# ----------------

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROWS=$(realpath -m "$ROWS")
OUT=$(realpath -m "$OUT")

# The driver imports verl before it loads the recipe, so the recipe's environment variables must be set in advance.
VARIABLES=$("$PYTHON" -c 'import sys
from verl_recipes import recipes
for pair in recipes.environment(recipes.compose(*sys.argv[1:3])).items():
    print("=".join(pair))' "$METHOD" "$SIZE")
while IFS= read -r variable; do export "${variable?}"; done <<< "$VARIABLES"

DATA=(
    data.train_files="$ROWS/sft.parquet"
    data.val_files="$ROWS/dev.parquet"
)
ENGINE=()
[[ -z $MODEL ]] || ENGINE+=(model.path="$MODEL")
TRAINER=(trainer.default_local_dir="$OUT/checkpoints")
[[ -z $NNODES ]] || TRAINER+=(trainer.nnodes="$NNODES")
[[ -z $NGPUS_PER_NODE ]] || TRAINER+=(trainer.n_gpus_per_node="$NGPUS_PER_NODE")

exec "$PYTHON" -m verl_recipes.inside_verl.main_sft --config-dir "$HERE/config" --config-name "${METHOD}_$SIZE" \
    "${DATA[@]}" "${ENGINE[@]}" "${TRAINER[@]}" "$@"
