"""What `make bench` runs: how fast the world is drawn, what a sampler's step costs and how fast pictures are made, the
latter two against diffusers."""

from __future__ import annotations

from benchmarks import against_diffusers, samplers, world

if __name__ == "__main__":
    world.main()
    print()
    samplers.show_costs()
    print()
    against_diffusers.main()
