"""Work on one thread is work on one thread, whatever was set before."""

import re

import torch
from threadpoolctl import threadpool_info

from ffreport.base.threads import one_thread


def of_mkl():
    """Threads of the matrix library inside torch; 1 where torch has another."""
    found = re.search(r"mkl_get_max_threads\(\) : (\d+)", torch.__config__.parallel_info())
    return int(found[1]) if found else 1


def test_one_thread_reaches_every_library_and_leaves_them_as_they_were():
    outside = torch.get_num_threads()
    torch.set_num_threads(3)  # as training does: the library inside torch then keeps it for good
    try:
        before = of_mkl(), threadpool_info()
        with one_thread():
            assert torch.get_num_threads() == of_mkl() == 1
            assert {pool["num_threads"] for pool in threadpool_info()} == {1}
        assert torch.get_num_threads() == 3 and (of_mkl(), threadpool_info()) == before
    finally:
        torch.set_num_threads(outside)
