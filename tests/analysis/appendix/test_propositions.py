"""Appendices A, B and C of Polar-FFA against closed forms, quadrature and hand-made frames."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from ffcore import data, goodness
from ffcore.errors import ConfigError
from ffreport.analysis.appendix import figures as plots_probability
from ffreport.analysis.appendix import initialisation, propositions, slips
from ffreport.analysis.appendix.initialisation import IMAGES, NORMAL, RANDOM, Sizes

SMALL = Sizes(widths=(16, 64), samples=300, repeats=8)
FUNCTIONS = {"relu": lambda z: max(z, 0.0), "sigmoid": special.expit, "tanh": math.tanh}
positive = st.floats(1e-3, 1e3)


@pytest.fixture(scope="module")
def layers(digits):
    images = data.normalise(digits.train_images[: SMALL.samples])
    return [
        initialisation.draw(SMALL),
        initialisation.draw(SMALL, initialisation.gaussian_inputs(SMALL)),
        initialisation.draw(SMALL, images, IMAGES),
    ]


@pytest.fixture(scope="module")
def initial(layers):
    return initialisation.goodness_at_initialisation(layers)


@pytest.fixture(scope="module")
def slopes(layers):
    return propositions.gradients(layers)


@pytest.fixture(scope="module")
def limits(slopes):
    return slips.bounds(slopes)


def column(*values):
    return torch.tensor([values], dtype=torch.float64)


# Appendix A


@pytest.mark.parametrize("activation", FUNCTIONS)
@pytest.mark.parametrize(("norm", "power"), [("l1", 1), ("l2sq", 2)])
@pytest.mark.parametrize("spread", [0.3, 1.0, 2.5])
def test_expected_l1_and_squared_l2_are_the_units_times_that_of_one(
    activation, norm, power, spread
):
    def density(z):
        return abs(FUNCTIONS[activation](z)) ** power * stats.norm.pdf(z, scale=spread)

    one = sum(integrate.quad(density, *half, epsabs=1e-12)[0]
              for half in ((-12 * spread, 0), (0, 12 * spread)))  # fmt: skip
    found = initialisation.expected_goodness(activation, norm, 7, np.array([spread]))
    assert found == pytest.approx([7 * one], rel=1e-8)


@pytest.mark.parametrize("units", [1, 2, 5, 64, 1000])
def test_expected_l2_of_relu_layers_is_a_binomial_mixture_of_chi_means(units):
    active = np.arange(1, units + 1)
    weights = stats.binom.pmf(active, units, 0.5)
    means = math.sqrt(2) * np.exp(special.gammaln((active + 1) / 2) - special.gammaln(active / 2))
    expected = 0.7 * weights @ means
    found = initialisation.expected_goodness("relu", "l2", units, np.array([0.7]))
    assert found == pytest.approx([expected], rel=1e-7)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_expected_l2_of_one_unit_is_its_expected_magnitude(activation):
    spread = np.array([0.5, 1.0])
    l1, l2 = (initialisation.expected_goodness(activation, n, 1, spread) for n in ("l1", "l2"))
    np.testing.assert_allclose(l2, l1, rtol=1e-7)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(sorted(FUNCTIONS)), st.integers(1, 500), st.floats(0.05, 3))
def test_expected_norms_keep_their_inequalities(activation, units, spread):
    l1, l2, l2sq = (
        initialisation.expected_goodness(activation, n, units, np.array([spread]))[0]
        for n in ("l1", "l2", "l2sq")
    )
    assert l2 <= math.sqrt(l2sq) * (1 + 1e-7)  # Jensen
    assert l1 / math.sqrt(units) <= l2 * (1 + 1e-7) and l2 <= l1 * (1 + 1e-7)


def test_sums_of_a_drawn_layer_are_those_of_the_plain_network():
    sizes = Sizes((6,), 4, 2, seed=3)
    inputs = initialisation.gaussian_inputs(sizes, dimension=5)
    layer = initialisation.draw(sizes, inputs)
    random = torch.Generator().manual_seed((3 * 1000 + 1) * 100_003 + 6)
    weights = torch.empty(6, 5).uniform_(-(5**-0.5), 5**-0.5, generator=random)
    h = torch.tanh(inputs @ weights.T).double()
    found = layer.goodness(6, "tanh", "l1", "sum", (0,))[1]
    torch.testing.assert_close(found, h[:, :3].abs().sum(1), rtol=1e-5, atol=1e-6)
    found = layer.goodness(6, "tanh", "l2", "mean", (1,))[1]
    torch.testing.assert_close(found, h[:, 3:].square().mean(1).sqrt(), rtol=1e-5, atol=1e-6)
    found = layer.goodness(6, "tanh", "l2sq", "sum", (0, 1))[1]
    torch.testing.assert_close(found, h.square().sum(1), rtol=1e-5, atol=1e-6)
    assert layer.goodness(6, "tanh", "l2", "mean", ()).abs().max() == 0
    np.testing.assert_allclose(layer.spread, inputs.norm(dim=1).numpy() / math.sqrt(15), rtol=1e-6)


def test_drawing_again_gives_the_same_and_another_seed_something_else():
    inputs = initialisation.gaussian_inputs(SMALL)
    key = (16, "relu", "l2")
    first, again = (initialisation.draw(SMALL, inputs).sums[key] for _ in range(2))
    other = initialisation.draw(Sizes((16,), 300, 8, seed=1), inputs).sums[key]
    alone = initialisation.draw(Sizes((16,), 300, 8), inputs).sums[key]
    assert first.equal(again) and first.equal(alone) and not first.equal(other)


def test_measured_goodness_agrees_with_its_expectation(initial):
    for source, part in initial.groupby("source"):
        assert part["p_value"].min() * len(part) > 0.01, source
        largest = 30 if source == IMAGES else 3
        assert part["deviation"].abs().max() < largest
    assert len(initial) == 3 * 2 * 3 * 3


def test_a_wrong_expectation_would_be_noticed(layers, monkeypatch):
    plain = initialisation.expected_goodness
    monkeypatch.setattr(initialisation, "expected_goodness", lambda *a: 1.1 * plain(*a))
    wrong = initialisation.goodness_at_initialisation(layers[:2])
    assert "can be told from chance" in initialisation.summary(wrong).splitlines()[0]


def test_pre_activations_of_a_standardised_input_have_a_third_of_the_assumed_variance(layers):
    normal, random, _ = layers
    assert (normal.spread == 1).all()
    assert (random.spread**2).mean() == pytest.approx(1 / 3, rel=0.02)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"widths": ()}, "even"), ({"widths": (5,)}, "even"), ({"samples": 1}, "at least 2"),
     ({"repeats": 1}, "at least 2")],
)  # fmt: skip
def test_impossible_sizes_say_what_is_possible(values, message):
    with pytest.raises(ConfigError, match=message):
        Sizes(**values)


def test_intervals_are_those_of_the_t_test():
    values = np.random.default_rng(0).normal(1, 2, 9)
    mean, half, p_value = initialisation.over_networks(values, 0.5)
    test = stats.ttest_1samp(values, 0.5)
    low, high = test.confidence_interval()
    assert (mean - half, mean + half, p_value) == pytest.approx((low, high, test.pvalue))
    assert initialisation.over_networks(np.full(4, 0.5), 0.5) == (0.5, 0, 1)
    assert initialisation.over_networks(np.full(4, 0.75), 0.5) == (0.75, 0, 0)


# Proposition 1


def test_slope_by_hand():
    p, slope = propositions.probability_slope(column(3.0), column(1.0), "sigmoid", 2.0, 5.0)
    assert (p.item(), slope.item()) == (0.5, 5 / 4)
    p, slope = propositions.probability_slope(column(3.0), column(1.0), "symmetric")
    assert (p.item(), slope.item()) == pytest.approx((3 / 4, 1 / 16), abs=1e-6)


def test_the_two_sides_differ_by_the_square_of_the_asymmetry(slopes):
    gap = slopes["identity"] - slopes["gradient"]
    np.testing.assert_allclose(gap, (slopes["mean_probability"] - 0.5) ** 2, atol=1e-12)
    np.testing.assert_allclose(slopes["general"], slopes["gradient"], atol=1e-12)


def test_the_identity_holds_at_theta_0_and_not_at_theta_2(slopes):
    zero, two = (slopes[(slopes["probability"] == "sigmoid") & (slopes["theta"] == t)]
                 for t in (0, 2))  # fmt: skip
    assert zero["p_value"].min() * len(zero) > 0.01
    mean = two[two["aggregation"] == "mean"]
    assert (mean["p_value"] < 1e-6).all()
    narrow = mean[mean["second_moment"] < 1e-2]
    assert len(narrow) > 10 and (abs(narrow["gradient"] - 0.10499) < 5e-3).all()  # σ'(2)
    said = propositions.identity_summary(slopes).splitlines()
    assert all(("**holds**" in s) == ("θ = 0" in s) for s in said) and len(said) == 9


def test_a_single_network_is_less_symmetric_on_images_than_on_random_inputs(slopes):
    zero = slopes[slopes["theta"] == 0].set_index(["source", "activation", "norm", "aggregation",
                                                   "width"])["network_offset"]  # fmt: skip
    assert (zero.loc[IMAGES] > zero.loc[RANDOM]).mean() > 0.9


def test_wide_groups_with_sums_lose_gradient_with_the_root_of_the_width():
    sizes = Sizes((256, 1024), 2000, 12)
    slopes = propositions.gradients([initialisation.draw(sizes)])
    table = (
        propositions.saturation(slopes)
        .set_index(["probability", "theta", "activation", "norm", "aggregation"])
        .sort_index()
    )
    relu = table.loc["sigmoid", 0.0, "relu"]
    assert relu.loc[("l2sq", "sum"), "exponent"] == pytest.approx(-0.5, abs=0.08)
    assert relu.loc[("l2", "sum"), "exponent"] == pytest.approx(0, abs=0.05)
    assert relu.loc[("l1", "mean"), "exponent"] == pytest.approx(0, abs=0.01)
    dead = table.loc["ffa-sigmoid"].loc[2.0].loc[("relu", "l2sq", "sum")]
    assert dead["clamped"] == 100 and dead["wide"] < 1e-30


def test_ffa_is_drawn_with_its_trained_threshold(slopes):
    ffa = (
        slopes[slopes["probability"] == "ffa-sigmoid"]
        .set_index(["activation", "norm"])
        .sort_index()
    )
    assert set(ffa.loc[("sigmoid", "l1"), "theta"]) == {0.4}
    assert set(ffa.loc[("sigmoid", "l2"), "alpha"]) == {5.0}
    assert set(ffa.loc["relu", "theta"]) == {2.0}


def test_samples_outside_the_clamp_have_no_gradient_of_the_loss():
    g = column(0.0, 11.0, 12.0, 40.0).requires_grad_()
    p = goodness.sigmoid_probability(g, torch.zeros_like(g), column(0.0), column(1.0))
    doubled = torch.cat([p, p], dim=1)
    (slope,) = torch.autograd.grad(goodness.loss(doubled).sum(), g)
    clamped = (p < goodness.CLAMP) | (p > 1 - goodness.CLAMP)
    # At G = 0 both halves cancel; what counts is that exactly the clamped samples are zero.
    assert clamped.tolist() == [[False, False, True, True]]
    assert slope[0, 1] != 0 and (slope[clamped] == 0).all()


def test_saturation_counts_the_layers_without_any_gradient(slopes):
    table = propositions.saturation(slopes)
    said = propositions.saturation_summary(table).splitlines()
    ffa = table[(table["source"] == NORMAL) & (table["probability"] == "ffa-sigmoid")]
    assert f"for {(ffa['clamped'] == 100).sum()} of 18 kinds of FFA" in said[0]
    assert (ffa["clamped"] == 100).any() and not (ffa["clamped"] == 100).all()


# Proposition 2


@given(positive, positive, positive)
def test_scaling_goodness_moves_the_symmetric_probability_toward_its_share(plus, minus, gamma):
    p, _ = propositions.probability_slope(column(gamma * plus), column(gamma * minus), "symmetric")
    share, total = plus / (plus + minus), gamma * (plus + minus)
    epsilon = goodness.EPSILON
    expected = epsilon * (1 - 2 * share) / (total + 2 * epsilon)
    assert p.item() - share == pytest.approx(expected, abs=1e-12)


@given(positive, positive)
def test_the_symmetric_slope_is_the_difference_quotient(plus, minus):
    step = 1e-4 * (plus + minus)
    ends = [propositions.probability_slope(column(plus + s), column(minus), "symmetric")[0].item()
            for s in (-step, step)]  # fmt: skip
    _, slope = propositions.probability_slope(column(plus), column(minus), "symmetric")
    assert slope.item() == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-6)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_the_smallest_scale_is_where_the_deviation_is_the_tolerance(share):
    gamma = propositions.smallest_scale(share)
    around = propositions.scale_invariance(gamma * np.array([0.99, 1.01]), (share,))
    found = around.loc[around["probability"] == "symmetric", "deviation"].tolist()
    assert found[0] > propositions.TOLERANCE > found[1]
    assert gamma == pytest.approx(1e-6 * abs(1 - 2 * share) / 1e-3, rel=0.01)


def test_equal_groups_are_invariant_at_every_scale():
    assert propositions.smallest_scale(0.5) == 0


def test_the_sigmoid_probability_is_not_invariant():
    frame = propositions.scale_invariance(np.array([10.0]), (0.4,)).set_index("probability")
    assert frame.loc["sigmoid", "deviation"] > 0.05 > 1e-5 > frame.loc["symmetric", "deviation"]


def test_proposition_2_holds_and_a_wrong_formula_would_not():
    frame = propositions.symmetric_gradients(9)
    np.testing.assert_allclose(frame["slope"], frame["with_epsilon"], rtol=1e-10)
    assert "Proposition 2 **holds**" in propositions.invariance_summary(frame)
    wrong = frame.assign(without=frame["c3"])
    assert "**does not hold**" in propositions.invariance_summary(wrong)


# Appendix B and the slips


def test_the_covering_function_fails_where_a_root_finder_of_another_kind_says():
    found = slips.covering()
    # σ(x)² − x² − ¼ = 0, by Newton from the right, and its maximum by the derivative's root.
    x = 0.4
    for _ in range(50):
        s = special.expit(x)
        x -= (s**2 - x**2 - 0.25) / (2 * s**2 * (1 - s) - 2 * x)
    assert (found.low, found.high) == pytest.approx((0, x), abs=1e-9)
    s = special.expit(found.at)
    assert s**2 * (1 - s) == pytest.approx(found.at, abs=1e-6)
    assert found.largest == pytest.approx(s**2 - found.at**2 - 0.25)
    assert found.fails and found.even < 1e-15


@given(st.floats(-50, 50))
def test_sigmoid_is_quarter_lipschitz_about_one_half(x):
    assert (special.expit(x) - 0.5) ** 2 <= x**2 / 16 + 1e-16


def test_the_loss_of_gradient_by_gauss_hermite(limits):
    gaussian = limits[limits["shape"] == "Gaussian"]
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    for row in gaussian[gaussian["variance"] < 1.5].itertuples():
        p = special.expit(math.sqrt(row.variance) * nodes)
        variance = weights @ (p - 0.5) ** 2 / weights.sum()
        assert row.loss == pytest.approx(variance, rel=1e-6)
        assert row.square_variance == pytest.approx(2 * row.variance**2)


def test_the_loss_of_gradient_of_a_uniform_by_its_integral(limits):
    # ∫ tanh²(az/2) dz = z − (2/a) tanh(az/2)
    uniform = limits[limits["shape"] == "uniform"]
    a = np.sqrt(3 * uniform["variance"])
    expected = (1 - 2 / a * np.tanh(a / 2)) / 4
    np.testing.assert_allclose(uniform["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(uniform["square_variance"], 0.8 * uniform["variance"] ** 2)


def test_both_bounds_hold_and_the_printed_one_fails_for_every_shape(limits):
    assert limits["holds"].all() and limits["holds_tight"].all()
    assert not limits.groupby("shape")["holds_printed"].all().any()
    assert (limits.loc[limits["shape"] == slips.TWO_POINTS, "square_variance"] == 0).all()
    assert sum(s.startswith("z of") for s in set(limits["shape"])) == 3


def test_the_table_of_slips_confirms_each_from_its_numbers(initial, limits):
    table = slips.slips(initial, limits, propositions.symmetric_gradients(9))
    assert list(table["shown"]) == ["yes"] * 5
    assert "n/2 is that of: relu l2sq, sigmoid l1" in table["found"][0]
    assert slips.summary(table).startswith("**5 of 5")


def test_no_slip_is_shown_where_the_numbers_do_not_show_it(initial, limits, monkeypatch):
    symmetric = propositions.symmetric_gradients(9)
    # A world in which the squared norm had the printed value, every bound but the tight one held,
    # the covering function covered, and C3 were the slope of P_s.
    square = (initial["norm"] == "l2sq") & (initial["activation"] == "sigmoid")
    initial = initial.assign(mean=initial["mean"].where(~square, initial["width"] / 2))
    limits = limits.assign(holds_printed=True, holds_tight=False)
    symmetric = symmetric.assign(c3=symmetric["slope"])
    monkeypatch.setattr(slips, "excess", lambda x: -(np.asarray(x) ** 2) - 0.01)
    table = slips.slips(initial, limits, symmetric)
    assert list(table["shown"]) == ["no"] * 5
    assert "**0 of 5" in slips.summary(table)
    assert slips.summary(table).count("**Not shown**") == 5


# Figures


def test_figures_show_intervals_and_both_sides(initial, slopes, limits):
    figures = [
        plots_probability.goodness_over_width(initial[initial["source"] != IMAGES]),
        plots_probability.identity(slopes[slopes["source"] == RANDOM]),
        plots_probability.invariance(propositions.scale_invariance(np.logspace(-8, 2, 21)), 1e-3),
        plots_probability.bounds(limits, slips.covering()),
    ]
    panels = [6, 9, 2, 2]
    for figure, count in zip(figures, panels, strict=True):
        figure.canvas.draw()
        assert len(figure.axes) == count
        assert all(a.lines or a.collections for a in figure.axes)
        plt.close(figure)
    errors = [len(a.containers) for a in figures[0].axes]
    assert errors == [6] * 6  # three activations of two sources
    assert [len(a.containers) for a in figures[1].axes] == [6] * 9  # norms and aggregations
    titles = [a.get_title() for a in figures[1].axes]
    assert titles[:3] == [
        "Polar-FFA, θ = 0, α = 1: ReLU", "Polar-FFA, θ = 2, α = 1: ReLU", "FFA, θ = 2, α = 1: ReLU"
    ]  # fmt: skip
