"""Import of the published ShotBench and ShotQA releases: every row becomes a question or a defect."""
