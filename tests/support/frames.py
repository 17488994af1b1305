"""Small frames of the form of ``accuracy.accuracy``, made by hand."""

from itertools import product

import pandas as pd

from ffcore.config import FACTORS
from ffreport.analysis import published
from ffreport.analysis.estimate import NOT_RUN, ONE_SEED

NAN = float("nan")


def network(configuration, best, dataset="mnist", seed=0, **changes):
    """A row: a network with a best accuracy (NaN for one that was not run), last 1 point lower."""
    factors = dict(zip(FACTORS, configuration.split("-", 4), strict=True))
    ran = best == best
    row = {
        "key": f"{dataset}-{configuration}-{seed}", "configuration": configuration,
        "dataset": dataset, "seed": seed, **factors, "origin": "own" if ran else "not run",
        "precision": "fp32", "epochs": 50, "epochs_run": 50.0 if ran else NAN, "stopped": False,
        "best": best, "last": best - 1, "selected": NAN, "published_best": NAN,
        "published_last": NAN,
        "band_best": NAN, "band_best_std": NAN, "band_last": NAN,
        "band_last_std": NAN, "verdict": ONE_SEED if ran else NOT_RUN,
        "widths": "1000x1000",
    }  # fmt: skip
    return {**row, **changes}


def frame(*rows):
    """Rows of ``network`` as a frame."""
    return pd.DataFrame(rows)


def trio(others, ffa, sigmoid, symmetric, **changes):
    """The three networks of a configuration of the other four factors, such as l2-sum-none-relu."""
    values = zip(("ffa-sigmoid", "sigmoid", "symmetric"), (ffa, sigmoid, symmetric), strict=True)
    return [network(f"{others}-{p}", best, **changes) for p, best in values]


def whole_grid(dataset="mnist", seed=0, shift=0.0, after=None, **changes):
    """All 108 networks of a data set with the published best accuracies, shifted; those ``after``
    so many of the 50 epochs, or after all."""
    theirs = published.best_accuracy(after).set_index(["dataset", *FACTORS])
    bands = published.ten_seeds(after).set_index(["dataset", *FACTORS])
    rows = []
    for factors in product(*FACTORS.values()):
        beside = theirs.loc[(dataset, *factors)].to_dict()
        best = beside["published_best"]
        row = network("-".join(factors), best + shift, dataset, seed, **beside)
        if after is not None and best + shift == best + shift:
            row["epochs_run"] = float(after)
        if (dataset, *factors) in bands.index:
            band = bands.loc[(dataset, *factors)]
            row |= {"band_best": band["best_mean"],
                    "band_best_std": band["best_std"],
                    "band_last": band["last_mean"],
                    "band_last_std": band["last_std"]}  # fmt: skip
        rows.append({**row, **changes})
    return rows
