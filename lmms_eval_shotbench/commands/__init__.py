"""The commands of `shotbench`, one module each: arguments and implementation. `root.py` lists them."""
