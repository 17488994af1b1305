"""Tasks on a Dask cluster: a pool whose results come back here.

The driver needs a way to the scheduler and nothing else; see docs/cluster.md.
"""

from __future__ import annotations

import logging
import math
import queue
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from ffcore.errors import ClusterError, ConfigError, FFError
from ffcore.files import json_file
from ffreport.base.console import say, stop_if_interrupted
from ffreport.compute import cluster_worker, pool

CONNECT = 20.0  # seconds until a scheduler that does not answer counts as absent
LOOK = 5.0  # seconds between looks at who is there
ANSWER, SILENT = 5.0, 120.0  # seconds for an answer; without any, until it counts as lost
MISSING = "a cluster needs the package distributed; run `pip install -e '.[cluster]'`"
SETTLE = 10.0  # seconds without a further worker until stacks are cut for those that are there
AGAIN = "what was finished is stored; run the same command again to go on"


class _Errand(NamedTuple):
    """A task on its way; ``outer`` is what its asker waits for."""

    outer: Future[list[Any]]
    work: pool.Work
    task: Any


class Cluster:
    """A ``pool.Pool`` of a Dask cluster's workers; ``joined`` makes one.

    A worker that is lost costs the tasks that it was at: they are done again by others. Tasks whose
    files were lost with it are sent again.

    Args:
        client: a connected ``distributed.Client``.
        address: how its user calls it.
    """

    def __init__(self, client: Any, address: str) -> None:
        self.address, self._client = address, client
        self._pool = client.get_executor(pure=False)
        self._topic = f"ffcore-{uuid4().hex[:12]}"
        self._identity = cluster_worker.identity()
        self._sent: dict[str, Any] = {}
        self._lost: queue.SimpleQueue[_Errand] = queue.SimpleQueue()
        self._looked = self._told = -math.inf
        self._answered = self._counted = time.monotonic()
        self.count, self.ahead = 0, 2
        self._notes: queue.SimpleQueue[pool.Note] = queue.SimpleQueue()
        client.subscribe_topic(self._topic, self._hear)

    def welcome(self) -> list[dict[str, Any]]:
        """Wait for a worker, check all that are there, and tell what they are. With GPUs, whose
        number decides how stacks are cut, wait until no more workers come.

        Raises:
            ClusterError: one would compute something else than this machine, or the scheduler is
                lost.
            KeyboardInterrupt: it was asked for.
        """
        while not (self._reached() and self._present()):
            time.sleep(pool.POLL)
        found = self._facts()
        if any(facts["free"] is not None for facts in found.values()):
            say(f"cluster {self.address}: {len(found)} workers so far; waiting for more until none "
                f"came for {SETTLE:.0f} s")  # fmt: skip
            count, since = self.count, time.monotonic()
            while time.monotonic() - since < SETTLE:
                time.sleep(pool.POLL)
                if self._reached() and self._present() and self.count != count:
                    count, since = self.count, time.monotonic()
            found = self._facts()
        for worker, facts in found.items():
            if other := cluster_worker.differing(self._identity, facts["identity"]):
                raise ClusterError(f"worker {worker} has {other}; {cluster_worker.REMEDY}")
        kinds = [facts["hardware"] for facts in found.values()]
        told = ", ".join(f"{kinds.count(kind)} × {kind}" for kind in dict.fromkeys(kinds))
        say(f"cluster {self.address}: {len(found)} workers ({told})")
        return list(found.values())

    def submit(self, work: pool.Work, task: Any, tell: pool.Tell) -> Future[list[Any]]:
        """Have ``work`` done with a task on some worker.

        Args:
            work: a function of a task and of whom to tell; found by its name on the workers.
            task: has ``datasets``, ``data_files()``, ``luggage()`` and ``moved()``, as
                ``tasks.Task``.
        """
        errand = _Errand(Future(), work, task)
        self._send(errand)
        return errand.outer

    def notes(self) -> Iterator[pool.Note]:
        """What tasks told since the last call; looks after the cluster, see ``look``."""
        self.look()
        return pool.drained(self._notes)

    def look(self) -> None:
        """Send again what was lost, and tell of what the work waits for; to be called often.

        Raises:
            ClusterError: the scheduler is lost.
            KeyboardInterrupt: it was asked for.
        """
        if not self._reached():
            return
        if time.monotonic() - self._looked < LOOK or not self._present():
            return
        again = [self._lost.get() for _ in range(self._lost.qsize())]
        if again:
            say(f"{len(again)} tasks were lost with their worker or its files: sent again")
            self._sent.clear()
        for errand in again:
            self._send(errand)

    def _facts(self) -> dict[str, dict[str, Any]]:
        """What every worker says of itself."""
        try:
            return dict(self._client.run(cluster_worker.facts))
        except Exception as error:
            raise ClusterError(
                f"a worker of {self.address} cannot run ffcore ({type(error).__name__}: {error}); "
                + cluster_worker.REMEDY
            ) from None

    def _reached(self) -> bool:
        """Whether the connection to the scheduler stands just now."""
        stop_if_interrupted()
        if self._client.status == "running":
            self._answered = time.monotonic()
            return True
        if self._client.status != "connecting" or time.monotonic() - self._answered > CONNECT + 1:
            raise ClusterError(f"the scheduler at {self.address} was lost; {AGAIN}")
        self._tell_waiting(f"the scheduler at {self.address} does not answer")
        return False

    def _present(self) -> bool:
        """Whether there are workers; counts them."""
        try:
            self.count = len(self._client.nthreads(callback_timeout=ANSWER))
            self.ahead = 2 * self.count + 2  # few, for what comes back takes memory
            self._counted = time.monotonic()
        except (OSError, TimeoutError, CancelledError):
            self._tell_waiting(f"the scheduler at {self.address} does not answer")
            if time.monotonic() - self._counted > SILENT:
                raise ClusterError(
                    f"the scheduler at {self.address} is connected and has not answered for "
                    f"{SILENT:.0f} s; {AGAIN}"
                ) from None
            return False
        finally:
            self._looked = time.monotonic()
        if not self.count:
            self._tell_waiting(f"cluster {self.address} has no workers")
        return bool(self.count)

    def _tell_waiting(self, why: str) -> None:
        if time.monotonic() - self._told > 6 * LOOK:
            self._told = time.monotonic()
            say(f"{why}; waiting (Ctrl-C stops, and what is finished is stored)")

    def _send(self, errand: _Errand) -> None:
        task = errand.task
        try:
            data = {name: self._data(name, task) for name in task.datasets}
            luggage = self._scattered(task.luggage())
            inner = self._pool.submit(
                cluster_worker.perform, errand.work, task, self._identity, self._topic,
                {name: sent for name, sent in data.items() if sent}, luggage,
            )  # fmt: skip
        except (OSError, TimeoutError, CancelledError):  # no worker, or no scheduler, just now
            self._lost.put(errand)
            return
        inner.add_done_callback(partial(self._arrived, errand))

    def _data(self, name: str, task: Any) -> Any:
        """A data set on some worker, from which the others get it: it leaves this machine once."""
        if name not in self._sent:
            self._sent[name] = self._scattered(task.data_files(name))
        return self._sent[name]

    def _scattered(self, files: Mapping[str, Path]) -> Any:
        """A parcel of these files on some worker; None of none."""
        if not files:
            return None
        parcel = cluster_worker.pack(files)
        name = f"ffcore-{parcel.checksum}"
        return self._client.scatter({name: parcel}, timeout=CONNECT)[name]

    def _arrived(self, errand: _Errand, inner: Future[list[Any]]) -> None:
        if inner.cancelled():
            self._lost.put(errand)
        elif error := inner.exception():
            errand.outer.set_exception(_in_words(error, errand.task))
        else:
            errand.outer.set_result(inner.result())

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        self._notes.put(pool.Note(**event[1]["note"]))


@contextmanager
def joined(address: str | None) -> Iterator[Cluster | None]:
    """A cluster for as long as the work lasts; None where no address is given.

    Args:
        address: of the scheduler, such as ``tcp://host:8786``, or its scheduler file (.json).

    Raises:
        ConfigError: no address, or the extra ``cluster`` is not installed.
        ClusterError: no scheduler answers there.
    """
    if address is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError:
        raise ConfigError(MISSING) from None
    if address.endswith(".json"):
        address = _in_file(Path(address))
    elif not re.fullmatch(r"\w+://.+:\d+/?", address):
        raise ConfigError(
            f"{address!r} is no address of a scheduler; give one such as tcp://host:8786, or the "
            "scheduler's file (.json)"
        )
    with _quiet():
        try:
            client = Client(address, timeout=CONNECT, set_as_default=False)
        except Exception as error:  # of an unknown protocol, or one that needs certificates, too
            raise ClusterError(
                f"no scheduler answers at {address} ({' '.join(str(error).split())[:200]}); start "
                "one with `dask scheduler`, and workers with `dask worker ADDRESS --nthreads 1`"
            ) from None
        try:
            yield Cluster(client, address)
        finally:
            client.close(timeout=2)


def _in_file(path: Path) -> str:
    """The address in a file that ``dask scheduler --scheduler-file`` wrote, or writes now."""
    until = time.monotonic() + CONNECT
    if not path.exists():
        say(f"waiting for a scheduler to write {path}")
    while not path.exists() and time.monotonic() < until:
        stop_if_interrupted()
        time.sleep(pool.POLL)
    time.sleep(pool.POLL)  # it is not written at once
    try:
        return str(json_file(path)["address"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ClusterError(
            f"{path} is no file that a running scheduler wrote; start one with "
            f"`dask scheduler --scheduler-file {path.name}`"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """What Dask has to log of lost connections, with tracebacks, we say in a line."""
    named = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    before = {name: logging.getLogger(name).level for name in named}
    try:
        for name in named:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _in_words(error: BaseException, task: Any) -> BaseException:
    """An error of a task, for its user."""
    if type(error).__name__ == "KilledWorker":
        return ClusterError(
            f"every worker that tried {task.name} was ended from outside, perhaps for lack of "
            f"memory ({error}); give workers more memory; {AGAIN}"
        )
    if isinstance(error, FFError):
        return error
    failed = ClusterError(f"{task.name} failed on a worker: {type(error).__name__}: {error}")
    failed.__cause__ = error
    return failed
