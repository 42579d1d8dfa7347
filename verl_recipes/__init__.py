"""ShotVL's training as verl recipes. Nothing here yet: the first recipe comes with its own release."""
