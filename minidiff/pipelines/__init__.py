"""From a request to images: the models joined, loaded and asked."""
