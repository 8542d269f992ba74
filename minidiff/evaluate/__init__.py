"""Measuring: small metrics, the judge, the prompt suite and what stands beside each figure."""
