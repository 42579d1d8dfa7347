#!/usr/bin/env bash
# SFT by our entry to verl's Ray trainer, for those who start verl by script. `shotbench train sft` and `cot-sft` do the
# same after writing the rows and checking everything, and say what is wrong before a GPU is taken.
#
#   METHOD=cot_sft SIZE=7b ROWS=RUN/rows OUT=RUN bash run_sft_qwen2_5_vl.sh optim.lr=5e-6
set -euo pipefail

# ---- adjust ----
METHOD=${METHOD:-sft}            # sft (letters), cot_sft (chains of thought)
SIZE=${SIZE:-3b}                 # 3b, 7b, 3b_lora, tiny
ROWS=${ROWS:-rows}               # folder with sft.parquet and dev.parquet; every node must see it under this path
MODEL=${MODEL:-}                 # model to start from; the recipe's own where empty
OUT=${OUT:-runs/${METHOD}_$SIZE} # on several nodes: a folder they share
NNODES=${NNODES:-}               # the recipe's own where empty
NGPUS_PER_NODE=${NGPUS_PER_NODE:-}
PYTHON=${PYTHON:-python3}
# ----------------

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROWS=$(realpath -m "$ROWS")
OUT=$(realpath -m "$OUT")

# The driver imports verl before it reads the recipe, so it needs the recipe's environment beforehand.
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
