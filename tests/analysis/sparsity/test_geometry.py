import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ffcore.errors import ConfigError
from ffcore.sparsity import theory
from ffreport.analysis.sparsity import geometry, influence


def some(count=40, size=6, classes=3, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, size, generator=draw), torch.arange(count) % classes


def test_influence_is_the_infinite_margin_of_theorem_1_split_by_class():
    x, labels = some()
    found = influence.influence(x, labels, 3)
    whole = theory.margin_infinite(x, torch.ones(len(x))) / x.square().sum()
    torch.testing.assert_close(found.margin, whole, rtol=1e-4, atol=1e-6)
    for a in range(3):
        rows = x[labels == a]
        for b in range(3):
            others = x[labels == b]
            part = theory.margin_infinite(rows, torch.ones(len(others)), others).mean()
            torch.testing.assert_close(found.by_class[a, b], part / x.square().sum(), rtol=1e-3,
                                       atol=1e-5)  # fmt: skip
            cosine = (
                torch.nn.functional.normalize(rows, dim=1)
                @ torch.nn.functional.normalize(others, dim=1).T
            )
            assert found.obtuse[a, b].item() == pytest.approx(float((cosine < 0).float().mean()))


def test_tiles_change_nothing():
    x, labels = some()
    whole, tiled = influence.influence(x, labels, 3), influence.influence(x, labels, 3, block=7)
    for a, b in zip(whole, tiled, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@given(corners=st.integers(2, 12), share=st.floats(-1, 0.99))
def test_every_pair_of_a_simplex_has_the_angle_that_was_asked_for(corners, share):
    cosine = share / (corners - 1) if share < 0 else share
    x = influence.simplex(corners, cosine)
    gram = x @ x.T
    off = gram[~torch.eye(corners, dtype=torch.bool)]
    torch.testing.assert_close(off, torch.full_like(off, cosine), rtol=0, atol=1e-9)
    torch.testing.assert_close(gram.diagonal(), torch.ones(corners, dtype=torch.float64))


@pytest.mark.parametrize("cosine", [-0.3, 1.0, math.nan])
def test_an_impossible_angle_is_refused_with_what_is_possible(cosine):
    with pytest.raises(ConfigError, match="choose -0.25 to 1"):
        influence.simplex(5, cosine)


def test_theorem_1_fails_for_every_datum_where_all_pairs_are_obtuse():
    x = influence.simplex(6, -0.2)
    assert (theory.margin_infinite(x, torch.ones(6, dtype=x.dtype)) < 0).all()
    found = geometry.constructed().set_index(["cosine", "width"])
    wide = found.loc[(-0.2, 4000)]
    assert wide["satisfied"].mean() < 0.02 and wide["rose"].mean() < 0.02
    acute = found.loc[(0.5, 4000)]
    assert acute["satisfied"].mean() > 0.98 and acute["rose"].mean() > 0.98
    assert (found["satisfied_infinite"] == (found.index.get_level_values(0) > 0)).all()
    assert (found["satisfied"] == found["rose"]).all(), "a step of 1e-6 is first order"


@pytest.mark.parametrize("broken", ["class", "zero"])
def test_data_without_angles_are_refused(broken):
    x, labels = some()
    if broken == "class":
        labels = labels.clamp(max=1)
    else:
        x[3] = 0
    with pytest.raises(ConfigError, match="angles need data of every class"):
        influence.influence(x, labels, 3)
