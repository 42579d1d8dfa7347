"""From films, annotations and releases to Hugging Face shards that evaluation and training both read."""
