import numpy as np

from ffreport.pipeline.bench import sparsity


def test_every_row_is_measured_and_targets_are_named():
    said = []
    rows = {r.what: r for r in sparsity.measure("digits", said.append, width=40, images=300)}
    assert all(np.isfinite(row.value) and row.value > 0 for row in rows.values())
    assert [row.target for row in rows.values() if row.target] == ["≤ 1", "≤ 1", "≤ 2"]
    assert "300 × 300 pairs at infinite width" in rows
    held, before = list(rows.values())[-2:]
    assert held.value >= before.value and 0.05 < held.value < 2
    assert len(said) == 2
