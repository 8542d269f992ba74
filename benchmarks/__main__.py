"""What `make bench` runs: how fast the world is drawn, then how fast pictures are made, against diffusers."""

from __future__ import annotations

from benchmarks import against_diffusers, world

if __name__ == "__main__":
    world.main()
    print()
    against_diffusers.main()
