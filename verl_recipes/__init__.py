"""ShotVL's training as verl recipes: rows, reward, configuration, preflight, launch, merge, evaluation, ablation.

`run/launch.py` is the way from an order to a trained run; `README.md` lists the other rooms.
"""
