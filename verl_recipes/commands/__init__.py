"""The commands of training, one module each: a typed function whose parameters are the options.

The three methods share `methods.py`; the work is done in `run/` and `tiny_base/`.
"""
