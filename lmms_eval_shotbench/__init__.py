"""ShotBench for lmms-eval: the language of film as tasks, with scores that can be trusted."""

__version__ = "0.1.0"
