"""The commands of `shotbench`, one module each: arguments and implementation. `cli.py` adds them to the parser."""
