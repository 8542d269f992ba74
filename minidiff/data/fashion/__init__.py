"""Garments: drawn ones with captions in English and Vietnamese, raw data with planted faults, and its preparation."""
