#!/usr/bin/env bash
# Start Ray on one node of a cluster, with token authentication. On the head: bash start_ray.sh head
# On every other node: bash start_ray.sh worker HEAD_ADDRESS   (further arguments go to `ray start`)
# Wait until N nodes have joined: bash start_ray.sh wait HEAD_ADDRESS N
#
# Ray executes code for anyone who can reach its ports. Nodes and jobs without the token are rejected; the ports should
# still be closed to the outside.
set -euo pipefail

ROLE=${1:?head, worker or wait}
PORT=${PORT:-6379}
DASHBOARD_PORT=${DASHBOARD_PORT:-8265}
WAIT_SECONDS=${WAIT_SECONDS:-300} # for the head, and for all nodes to join
# A file that all nodes see and only you can read. The head node creates it.
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH=${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/shotbench_token}
# SLURM sets it beside CUDA_VISIBLE_DEVICES, and verl's workers refuse both.
unset ROCR_VISIBLE_DEVICES

head_listens() { [[ -s $RAY_AUTH_TOKEN_PATH ]] && (: < "/dev/tcp/$1/$PORT") 2> /dev/null; }

await_head() {
    for ((second = 0; second < WAIT_SECONDS; second++)); do
        ! head_listens "$1" || return 0
        sleep 1
    done
    echo "start_ray: no token at $RAY_AUTH_TOKEN_PATH or no Ray at $1:$PORT after $WAIT_SECONDS s; start the head" >&2
    exit 1
}

case $ROLE in
    head)
        shift
        if [[ ! -s $RAY_AUTH_TOKEN_PATH ]]; then
            mkdir -p "$(dirname "$RAY_AUTH_TOKEN_PATH")"
            (umask 077 && python3 -c 'import secrets; print(secrets.token_hex(32), end="")' > "$RAY_AUTH_TOKEN_PATH")
        fi
        ray start --head --port="$PORT" --dashboard-host=127.0.0.1 --dashboard-port="$DASHBOARD_PORT" "$@"
        ;;
    worker)
        HEAD_ADDRESS=${2:?address of the head}
        shift 2
        await_head "$HEAD_ADDRESS"
        ray start --address="$HEAD_ADDRESS:$PORT" "$@"
        ;;
    wait)
        HEAD_ADDRESS=${2:?address of the head}
        NODES=${3:?number of nodes}
        await_head "$HEAD_ADDRESS"
        timeout "$WAIT_SECONDS" python3 -c "
import ray, time
ray.init('$HEAD_ADDRESS:$PORT', log_to_driver=False, logging_level='ERROR')
while sum(node['Alive'] for node in ray.nodes()) < $NODES: time.sleep(1)
" || { echo "start_ray: $NODES nodes did not join $HEAD_ADDRESS:$PORT within $WAIT_SECONDS s" >&2; exit 1; }
        ;;
    *) echo "start_ray: $ROLE is none of head, worker, wait" >&2; exit 1 ;;
esac
