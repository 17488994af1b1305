"""What the geometry of Theorem 1 shows, in sentences with their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ffreport.analysis.sparsity import geometry
from ffreport.study.study import Study


def shown(sets: Mapping[str, pd.DataFrame], label: str) -> str:
    """Which data, how many, from frames of ``geometry.margins`` by data set."""
    parts = [f"{name}, {frame['index'].nunique():,} training images" for name, frame in
             sets.items()]  # fmt: skip
    return f"**Shown here:** {'; '.join(parts)}; every pair of them; profile {label}."


def table(study: Study, names: Sequence[str]) -> pd.DataFrame:
    """``geometry.summary`` of several data sets, one below the other."""
    return pd.concat([geometry.summary(study, name) for name in names], ignore_index=True)


def found(table: pd.DataFrame) -> str:
    """A frame of ``table`` in sentences."""
    parts = [
        f"{row['dataset']} with {row['pixels']} pixels: {row['obtuse']:.2g} % of pairs are obtuse, "
        f"{row['satisfied']:.4g} % of {row['data']:,} images satisfy the inequality"
        for row in table.to_dict("records")
    ]
    return "; ".join(parts) + "."


def constructed(frame: pd.DataFrame) -> str:
    """A frame of ``geometry.constructed`` in sentences: both ends, at the widest layer."""
    widest = frame[frame["width"] == frame["width"].max()].groupby("cosine")[["satisfied", "rose"]]
    mean = 100 * widest.mean()
    low, high = mean.index.min(), mean.index.max()
    narrow = frame[frame["width"] == frame["width"].min()].groupby("cosine")["rose"].mean()
    return (
        f"With all pairs obtuse (cos θ = {low:g}) {mean.loc[low, 'satisfied']:.1f} % of data "
        f"satisfy the inequality at width {frame['width'].max()}, and sparsity rose for "
        f"{mean.loc[low, 'rose']:.1f} %; with all acute (cos θ = {high:g}) "
        f"{mean.loc[high, 'satisfied']:.1f} and {mean.loc[high, 'rose']:.1f} %. At width "
        f"{frame['width'].min()} it rose for {100 * narrow.loc[low]:.1f} and "
        f"{100 * narrow.loc[high]:.1f} %: chance still moves narrow layers."
    )


def by_class(pairs: pd.DataFrame, name: str) -> str:
    """Whose push is the largest, from a frame of ``geometry.by_class``."""
    parts = []
    for pixels, part in pairs.groupby("pixels", sort=False):
        largest = part.loc[part.groupby("pushed")["influence"].idxmax()]
        own = int((largest["pushed"] == largest["pushing"]).sum())
        common = largest["pushing"].mode().iloc[0]
        count = int((largest["pushing"] == common).sum())
        parts.append(
            f"{name}, {pixels} pixels: for {own} of {len(largest)} classes the largest push comes "
            f"from the class itself; class {common} is the strongest for {count}"
        )
    return "; ".join(parts) + "."


def resisting(sets: Mapping[str, pd.DataFrame]) -> str:
    """Which images violate Theorem 1, from frames of ``geometry.margins`` by data set."""
    parts = []
    for name, frame in sets.items():
        for pixels, part in frame.groupby("pixels", sort=False):
            against = part[part["margin"] <= 0]
            text = f"{name}, {pixels} pixels: {len(against):,} of {len(part):,} images"
            if len(against):
                counts = against["label"].value_counts()
                text += f", most of class {counts.index[0]} ({counts.iloc[0]:,})"
            parts.append(text)
    return f"Images that violate the inequality: {'; '.join(parts)}."
