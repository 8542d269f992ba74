"""Pictures with captions as they were collected: read from anywhere, filtered, cut to buckets, written as shards."""
