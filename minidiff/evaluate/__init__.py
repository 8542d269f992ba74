"""Measuring: small metrics, the judge, the prompt suite, and the controls beside each figure."""
