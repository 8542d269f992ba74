"""Speed, apart from the taught models: each trick is proven equal to the plain model."""
