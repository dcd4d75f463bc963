"""What `scripts/gpu_bench.py` measures, a module for each kind of case."""
