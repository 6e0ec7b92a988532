"""Sources of clips -> shards (tars any tool can read) -> packed batches."""
