"""Weights: the shipped zoo, and published ones in and out of our modules."""
