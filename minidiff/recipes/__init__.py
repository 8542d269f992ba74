"""Whole trainings: which model learns what, in which stages, and how it is watched. The defaults make the shipped models."""
