"""Speed, beside the plain models and proven equal to them: `prepare(network, dtype)` gives what samples fast."""

from minidiff.inference.prepared import Context, Prepared, prepare

__all__ = ["Context", "Prepared", "prepare"]
