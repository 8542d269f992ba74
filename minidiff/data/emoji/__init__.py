"""Emoji in four styles with names in English and Vietnamese: real images that packages ship."""
