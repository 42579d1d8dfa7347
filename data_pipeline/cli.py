"""`shotbench data …`: the pipeline's commands, one module each in `commands/`."""

from __future__ import annotations

from lmms_eval_shotbench.commands.groups import CommandEntry, lazy_group

MAKE, CHECK = "Make shards", "Refine, check and publish shards"

app = lazy_group(
    "Make and check question sets: from films, from published data sets, or from synthetic films.",
    [
        CommandEntry(name, summary, f"data_pipeline.commands.{name.replace('-', '_')}", panel)
        for panel, name, summary in (
            (MAKE, "films", "Make shards from your own films and an annotation table."),
            (MAKE, "annotations", "Read annotations of ELAN, CVAT, Label Studio, VIA and timelines into a table."),
            (MAKE, "shots", "Find the shots of films and write a table to fill, with pictures and timelines."),
            (MAKE, "studio", "Render synthetic films, as shards or as film files; nothing is downloaded."),
            (MAKE, "import-shotbench", "Convert the official ShotBench release to shards."),
            (MAKE, "import-shotqa", "Convert the ShotQA release to shards for training."),
            (MAKE, "import-dataset", "Convert other published datasets to shards, such as CameraBench."),
            (CHECK, "audit", "Check shards before they are used: media, guessing, duplicates, splits."),
            (CHECK, "leaks", "Find stills and clips of shards in other shards, also altered or cut from a clip."),
            (CHECK, "chains", "Ask a vision model for reasoning chains, for CoT-SFT."),
            (CHECK, "difficulty", "Select questions of medium difficulty for GRPO."),
            (CHECK, "export-webdataset", "Write shards as WebDataset tars, for training loops that stream."),
            (CHECK, "benchmark", "Add what makes shards a benchmark on the Hub: eval.yaml, for Inspect."),
            (CHECK, "croissant", "Add metadata in Croissant, for shards outside the Hub."),
            (CHECK, "push", "Copy shards to the Hub, a folder or a URL."),
        )
    ],
    panel="Make data and train",
)
