"""Devices, files, images and plots: what every room may use. Knows nothing of diffusion."""
