"""Measure speed side by side."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from ffcore.errors import unknown
from ffreport.base.console import say
from ffreport.base.locks import alone
from ffreport.cli.options import PROJECT, RESULTS, DryRun, Results

app = typer.Typer()


@app.command()
def bench(
    dataset: Annotated[str, typer.Option(help="mnist for the figures that we quote.")] = "mnist",
    steps: Annotated[int, typer.Option(min=2, help="Training steps timed; 118: an epoch.")] = 118,
    only: Annotated[
        str | None, typer.Option(help="training, latents, sparsity, start or cluster.")
    ] = None,
    dry_run: DryRun = False,
    results: Results = RESULTS,
) -> None:
    """Measure speed side by side: the engine, the plain way to train, the bare machine; RQ2's
    measures and diagrams, beside ripser's; checks of the sparsity theorems, beside training; the
    start of commands with 5,000 runs in the store; what a cluster costs, and a model of what it
    brings (with the extra `cluster`)."""
    from ffreport.base.digests import package_versions
    from ffreport.compute.pool import hardware
    from ffreport.data import load
    from ffreport.pipeline.bench import cluster, sparsity, start
    from ffreport.pipeline.bench import latents as latent_bench
    from ffreport.pipeline.bench import training as benchmark

    parts = {
        "training": ("bench.csv", lambda: benchmark.measure(load.load(dataset), say, steps)),
        "latents": (
            "bench_latents.csv",
            lambda: latent_bench.measure(dataset, say, root=PROJECT.get()),
        ),
        "sparsity": ("bench_sparsity.csv", lambda: sparsity.measure(dataset, say)),
        "start": ("bench_start.csv", lambda: start.measure(PROJECT.get(), say)),
        "cluster": ("bench_cluster.csv", lambda: cluster.measure(dataset, say)),
    }
    if only is None and not find_spec("distributed"):
        del parts["cluster"]
    if only not in (None, *parts):
        raise unknown("part of the benchmark", only, parts)
    if dry_run:
        for part in [only] if only else parts:
            on = "digits" if part == "start" else dataset
            print(f"measure {part} on {on}, write {results / parts[part][0]}")
        return
    say(f"{hardware()}; PyTorch {package_versions(['torch'])['torch']}")
    with alone(results):
        for part in [only] if only else parts:
            file, measure = parts[part]
            rows = []
            for row in measure():
                rows.append(row)
                print(f"{row.what:52} {row.value:9.2f} {row.unit:8} {row.target}")
            benchmark.write(rows, results / file, hardware())
