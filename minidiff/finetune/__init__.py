"""Teaching a finished model something new, from a folder of images with captions."""
