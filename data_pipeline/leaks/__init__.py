"""Media that a set shares with other sets: the search, its report, and shards without them."""
