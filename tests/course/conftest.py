"""What the tests of the course share: a toy lesson."""

from toy import toy

__all__ = ["toy"]
