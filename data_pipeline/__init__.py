"""From films, annotations and releases to Hugging Face shards that evaluation and training both read.

In the order of the work: `releases/` and `films/` bring media and labels in, `studio/` stages its own, `questions/`
asks about them, `checks/` looks at media and questions, `shards/` writes and sends them. `build_dataset.py` is the way
from labelled shots to shards, `workers.py` spreads heavy steps over processes, `defects.py` is the record of every
loss, and `commands/` holds what people type.
"""
