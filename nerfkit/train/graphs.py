"""Work on a GPU that is recorded once and done again by one launch: CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Outputs = Sequence["Tensor | None"]
Work = Callable[[], Outputs]


class Graphs:
    """Records work of a GPU. What it records shares memory: of two recordings only one is at work at a time."""

    def __init__(self, device: torch.device):
        self.device = device
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def rehearse(self, work: Work) -> Outputs:
        """Does work that is to be recorded, where that will happen: so that what is made once is made before."""
        own = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(own)
        with torch.cuda.stream(self._stream):
            outputs = work()
        own.wait_stream(self._stream)
        for tensor in outputs:
            if tensor is not None:
                tensor.record_stream(own)
        return outputs

    def record(self, work: Work, rng: torch.Generator) -> tuple[Outputs, Callable[[], None]]:
        """The work's outputs, and what fills them anew each time it is called. Nothing is done yet.

        All memory that the work reads, but for its own, must stay where it is. Random numbers are drawn from ``rng``
        alone, as it is seeded when the work is done.

        Raises:
            RuntimeError: the work waits for the GPU, or does what can't be recorded.
        """
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(rng)
        # Other threads (a viewer's, those that decode photos) may go on using the GPU.
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            outputs = work()
        return outputs, graph.replay
