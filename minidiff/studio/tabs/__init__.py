"""The tabs of the studio: each file lays one out, and connects its parts with the callbacks."""
