"""What the models learn from: the drawn world, its captions, and the caches that feed training."""
