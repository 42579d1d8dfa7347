"""ShotVL's training as verl recipes: rows, reward, configuration, preflight, launch, merge, evaluation, ablation.

`run/launch.py` leads from a training order to a trained run; `README.md` lists the other modules.
"""
