"""Request a worker from `warm_start.py`: Ray runs this file in place of Python, with the worker's file and arguments.

It uses few modules of the standard library, because it is started once per worker.
"""

import json
import os
import socket
import sys

SOCKET_VARIABLE = "SHOTBENCH_FORK_SOCKET"


def main() -> None:
    """Send this process's arguments, environment variables, folder and standard streams."""
    folder = os.getcwd()  # noqa: PTH109  (importing pathlib would take longer than the rest)
    request = {"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": folder}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("\0" + os.environ[SOCKET_VARIABLE])  # an abstract address of Linux
        data = json.dumps(request).encode()
        sent = socket.send_fds(connection, [data], [0, 1, 2])
        connection.sendall(data[sent:])


if __name__ == "__main__":
    main()
