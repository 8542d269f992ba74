"""The drawn world: scenes, where their things stand, their images, and their captions."""
