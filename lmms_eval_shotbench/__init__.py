"""ShotBench for lmms-eval: evaluation of vision-language models on cinematic language, with deterministic grading."""

__version__ = "0.1.0"
