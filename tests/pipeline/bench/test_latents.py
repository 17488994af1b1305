import numpy as np
import pytest

from ffreport.compute import pool
from ffreport.pipeline.bench import latents

SIZE = latents.Size(networks=3, width=40, images=40, h0_points=150, h1_points=30)


def test_every_row_is_measured_on_networks_that_learned_and_targets_are_named(monkeypatch):
    monkeypatch.setattr(pool, "cores", lambda: 1)
    said = []
    rows = {row.what: row for row in latents.measure("digits", said.append, SIZE)}
    assert all(np.isfinite(row.value) and row.value >= 0 for row in rows.values())
    targets = {row.target for row in rows.values()}
    assert targets >= {"≤ 180", "≥ 3", "≤ 4", "≤ 10"}
    assert rows["H0 of 150 points: largest difference of deaths"].value < 10
    assert rows["memory at most, with the main process"].value > 0.1
    whole = rows["nine measures: 108 networks, extrapolated"]
    each = rows["nine measures: a network, once processes run"]
    assert whole.unit == "s" and each.unit == "ms"
    assert whole.value * 1e3 >= 107 * each.value
    assert any("3 networks of 40 units" in text for text in said)


def test_networks_are_spread_over_the_grid(tmp_path):
    found = latents._study("digits", SIZE._replace(networks=27), tmp_path, None)
    planned = found.profile.networks()
    assert len(planned) == 27 and {e.widths for e in planned} == {(40, 40)}
    for factor in ("activation", "norm", "probability", "inhibition", "aggregation"):
        assert len({getattr(e, factor) for e in planned}) > 1, factor


def test_the_difference_of_two_diagrams_by_hand():
    first, second = [[0, 1.0], [0, 4.0], [0, np.inf]], [[0, 4.0], [0, 1.5]]
    assert latents.largest_difference(first, second) == 0.5 / 4
    # A bar more on one side counts with its length.
    assert latents.largest_difference(first, [[0, 4.0]]) == 1 / 4
    assert latents.largest_difference([[0, np.inf]], [[0, np.inf]]) == 0


def test_ripser_is_called_on_the_same_points(monkeypatch):
    points = np.random.default_rng(0).standard_normal((60, 5))
    import ripser

    plain = ripser.ripser
    seen = []
    monkeypatch.setattr(ripser, "ripser", lambda x, **o: seen.append(x) or plain(x, **o))
    rows = list(latents.beside_ripser(points, repeats=1))
    assert all(x is points for x in seen)
    spent = {row.what.rpartition(": ")[2]: row.value for row in rows}
    assert spent["ripser's time over ours"] == pytest.approx(spent["ripser"] / spent["ours"])

    def other(x, **options):
        found = plain(x, **options)
        found["dgms"][0][0, 1] *= 1.01
        return found

    monkeypatch.setattr(ripser, "ripser", other)
    rows = list(latents.beside_ripser(points, repeats=1))
    assert next(r.value for r in rows if "difference" in r.what) > 10
