"""Published releases in: ShotBench and ShotQA, every row a question or a defect."""
