"""ShotVL's training as verl recipes. Here so far: the rows verl trains on, `training_rows.py`."""
