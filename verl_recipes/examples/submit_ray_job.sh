#!/usr/bin/env bash
# Submit a training run to a Ray cluster and resubmit it on failure: after a node is lost, the same command resumes from
# the last complete checkpoint as soon as the cluster has its nodes again. A run that is refused, for settings or data that
# cannot work, is not submitted again.
#
#   bash submit_ray_job.sh grpo --recipe 7b --data /shared/shards --out /shared/runs/grpo_7b trainer.nnodes=2
#
# Arguments are those of `shotbench train`. Every node needs the package, and the data and run folder under the same
# paths. The recipe sets the environment of the workers; runtime_env.yaml adds your own variables.
set -euo pipefail

ADDRESS=${RAY_API_SERVER_ADDRESS:-http://127.0.0.1:8265}
RUNTIME_ENV=${RUNTIME_ENV:-$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/runtime_env.yaml}
ATTEMPTS=${ATTEMPTS:-10}
PAUSE=${PAUSE:-120} # seconds between attempts, for a lost node to return
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH=${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/shotbench_token}

LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT

for ((attempt = 1; attempt <= ATTEMPTS; attempt++)); do
    if ray job submit --address="$ADDRESS" --runtime-env="$RUNTIME_ENV" -- shotbench train "$@" | tee "$LOG"; then
        exit 0
    fi
    if grep -q "failed with exit code 2[,.]" "$LOG"; then # Ray exits with 1 whatever the status of the command
        echo "submit_ray_job: shotbench train refused to start; its message is above" >&2
        exit 2
    fi
    echo "submit_ray_job: attempt $attempt of $ATTEMPTS failed" >&2
    ((attempt == ATTEMPTS)) || sleep "$PAUSE"
done
exit 1
