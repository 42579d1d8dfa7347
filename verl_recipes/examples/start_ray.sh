#!/usr/bin/env bash
# Start Ray on one node of a cluster, with token authentication. On the head: bash start_ray.sh head
# On every other node: bash start_ray.sh worker HEAD_ADDRESS   (further arguments go to `ray start`)
#
# Ray executes code for anyone who can reach its ports. Nodes and jobs without the token are rejected; the ports should
# still be closed to the outside.
set -euo pipefail

ROLE=${1:?head or worker}
PORT=${PORT:-6379}
DASHBOARD_PORT=${DASHBOARD_PORT:-8265}
# A file that all nodes see and only you can read. The head node creates it.
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH=${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/shotbench_token}

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
        [[ -s $RAY_AUTH_TOKEN_PATH ]] || { echo "start_ray: no token at $RAY_AUTH_TOKEN_PATH; start the head first" >&2; exit 1; }
        ray start --address="$HEAD_ADDRESS:$PORT" "$@"
        ;;
    *) echo "start_ray: $ROLE is neither head nor worker" >&2; exit 1 ;;
esac
