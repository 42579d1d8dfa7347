"""Results of a run for the Hub, model cards, Every Eval Ever and Inspect: the formats are listed in `formats.py`."""
