"""Questions: files, shards, variants and the RefineShot refinement."""
