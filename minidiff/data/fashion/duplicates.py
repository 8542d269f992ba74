"""Images that show the same: data/images/duplicates.py under the name by which lesson 15 knows it."""

from minidiff.data.images.duplicates import difference as difference
from minidiff.data.images.duplicates import fingerprint as fingerprint
