"""Work on one thread: sums have one order on every machine, whatever its cores and settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

# By these a matrix library takes its number of threads when it is loaded.
SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS",
            "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS")  # fmt: skip


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch and BLAS: sums have one order on every machine, and small tensors gain
    nothing from more.

    The matrix library that is built into torch obeys torch alone: ``threadpool_limits`` does not
    see it, and tells only libraries that are loaded.
    """
    import torch
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(before)
