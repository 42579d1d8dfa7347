"""One file a command of `shotbench`: its arguments, and what it calls. `cli.py` mounts them."""
