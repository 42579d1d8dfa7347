"""The pipeline's commands, one module each: a typed function whose parameters are the options.

Commands contain no logic; stage modules are imported only when their command runs. A stage refuses invalid input by
raising `ValueError`, `FileNotFoundError` or `RuntimeError`, which the `shotbench` command reports in one line with exit
status 2. Otherwise a command returns 0 (success) or 1 (rows would be dropped, or a check failed).
"""
