"""The web demo. `app.py` at the top of the repository starts it; so does `minidiff app`."""
