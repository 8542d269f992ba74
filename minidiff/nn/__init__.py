"""Layers that the models share: attention, embeddings, residual blocks."""
