"""The pipeline's commands, one module each: `add` declares the arguments, `run` calls the step.

No command does any work itself; the step modules are imported only when their command runs. What a step refuses it
raises (`ValueError`, `FileNotFoundError`, `RuntimeError`): the `shotbench` command turns that into one line and exit
status 2. Otherwise `run` returns 0 (done) or 1 (rows would be lost, a gate is not passed).
"""
