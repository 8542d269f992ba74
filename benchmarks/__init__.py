"""Speed, measured against peers in the same run by `python -m benchmarks`. What trains or draws (`choices`, `pictures`) is run
by itself."""
