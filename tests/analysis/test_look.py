"""Every level has one name, colour and mark, and the style holds for the whole of a figure."""

from typing import get_args

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

from ffcore import plugins  # noqa: E402
from ffcore.config import FACTORS, SparsityExperiment  # noqa: E402
from ffreport.analysis import look  # noqa: E402
from ffreport.analysis.rq2 import latents, taxonomy  # noqa: E402


def test_every_built_in_level_is_known_and_looks_unlike_the_others():
    for factor in ("probability", "activation", "norm", "inhibition"):
        assert tuple(look.LEVELS[factor]) == FACTORS[factor]
        assert len({seen.name for seen in look.LEVELS[factor].values()}) == len(FACTORS[factor])
    for factor in ("probability", "activation", "norm", "family"):
        seen = [s.colour for s in look.LEVELS[factor].values()]
        assert all(seen) and len(set(seen)) == len(seen)
    for factor in ("activation", "norm"):
        assert len({s.mark for s in look.LEVELS[factor].values()} - {""}) == 3
    assert set(look.LEVELS["loss"]) == set(
        get_args(SparsityExperiment.model_fields["loss"].annotation)
    )
    assert set(look.LEVELS["structure"]) == {*taxonomy.STRUCTURES, latents.UNCLEAR}
    assert set(look.LEVELS["family"]) == {*taxonomy.FAMILIES, latents.UNCLEAR}


def test_plugins_keep_their_names_and_take_looks_that_no_built_in_has(monkeypatch):
    names = ("a_b", "c")
    monkeypatch.setattr(plugins, "names", lambda kind: names if kind == "activation" else ())
    found = [look.level("activation", name) for name in names]
    assert [s.name for s in found] == ["a_b", "c"] and found[0].tick == "a_\nb"
    for known in look.LEVELS["activation"].values():
        assert not {s.mark for s in found} & {known.mark}
    assert found[0].mark != found[1].mark and found[0].colour != found[1].colour
    assert look.level("aggregation", "sum").name == "sum"
    assert look.every("activation", ["c", "relu"]) == ["relu", "sigmoid", "tanh", "c"]


def test_the_style_holds_inside_a_figure_and_is_gone_outside():
    @look.styled
    def made():
        figure, axes = look.canvas(1, 1, 3, 3)
        axes[0, 0].set_title("a")
        look.below(figure, [look.mark("b"), look.line("c"), look.patch("d")])
        return figure

    before = dict(mpl.rcParams)
    for figure in (made(), made()):
        (legend,) = figure.legends
        assert not legend.get_frame_on() and [t.get_text() for t in legend.texts] == ["b", "c", "d"]
        assert figure.axes[0].title.get_fontsize() == look.STYLE["axes.titlesize"]
        assert not figure.axes[0].spines["top"].get_visible()
        plt.close(figure)
    assert dict(mpl.rcParams) == before
