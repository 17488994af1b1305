"""The explorer is one file that holds every network, exactly, and nothing from outside."""

import base64
import json
import re

import numpy as np
import pandas as pd
import pytest

from ffcore.config import FACTORS
from ffcore.errors import ConfigError
from ffreport.analysis import look
from ffreport.analysis.rq2 import latents, taxonomy
from ffreport.analysis.rq2.explorer import material
from ffreport.analysis.rq2.explorer import page as explorer
from ffreport.analysis.rq2.figures import projections
from ffreport.analysis.rq2.topology import networks
from ffreport.publish import pages, versions
from ffreport.study.study import Study
from tests.conftest import train_into
from tests.publish.test_versions import executed, publish
from tests.support import explored


def content(page):
    """The data that a page carries."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(text)


def unpacked(text, kind):
    return np.frombuffer(base64.b64decode(text), kind).astype(float)


@pytest.fixture(scope="module")
def page():
    return explored.page()


@pytest.fixture(scope="module")
def data(page):
    return content(page)


def test_every_network_measure_and_factor_is_in_the_page(data):
    frame = explored.networks()
    assert data["columns"]["key"] == list(frame["key"])
    axes = {a["column"]: a for a in data["axes"]}
    assert {*projections.MEASURES, "last", "margin", "negative_auc"} <= set(axes)
    assert {f"separability{end}" for end in ("", "_gain", "_observed")} <= set(axes)
    assert set(axes) <= set(data["columns"]) and len(axes) == len(data["axes"])
    assert axes["something_new"]["label"] == "something new"
    assert axes["something_new"]["group"] == "Other"
    fields = {f["name"]: [v["value"] for v in f["values"]] for f in data["fields"]}
    assert {*FACTORS, "dataset", "seed", "structure", "family"} <= set(fields)
    assert fields["norm"] == ["l2sq", "l2"] and fields["seed"] == ["0", "1"]
    assert data["columns"]["published_hoyer"][3] == pytest.approx(frame["published_hoyer"][3])


def test_every_observable_of_the_taxonomy_has_a_label_and_a_unit():
    renamed = {"separability": "separability_observed"}
    names = [renamed.get(c, c) for c in taxonomy.OBSERVABLES]
    assert set(names) <= set(explorer.OBSERVABLES)
    assert all(unit for group in explorer.GROUPS.values() for _, unit in group.values())


def test_numbers_keep_five_digits_and_what_is_not_finite_is_null(data):
    frame = explored.networks()
    assert data["columns"]["hoyer"][0] is None and data["columns"]["label_image_ratio"][1] is None
    np.testing.assert_allclose(data["columns"]["last"], frame["last"], rtol=5e-5)


def test_colours_are_those_of_the_figures_and_differ_within_a_field(data):
    for field in data["fields"]:
        colours = [v["colour"] for v in field["values"]]
        assert len(set(colours)) == len(colours), field["name"]
    fields = {f["name"]: {v["value"]: v for v in f["values"]} for f in data["fields"]}
    assert {p: v["colour"] for p, v in fields["probability"].items()} == {
        p: seen.colour for p, seen in look.LEVELS["probability"].items()
    }
    for structure, value in fields["structure"].items():
        assert (value["label"], value["colour"]) == look.STRUCTURES[structure][::3]
    assert [v["place"] for v in fields["activation"].values()] == [0, 2]  # no sigmoid units


def test_projections_come_back_as_they_were_but_for_place_and_size(data):
    frames = explored.projections(explored.networks())
    assert set(data["projections"]) == set(frames) and len(data["samples"]) == 1
    for key, frame in frames.items():
        found = data["projections"][key]
        xy = unpacked(found["xy"], "<i2").reshape(-1, 2)
        assert np.abs(xy).max() == 32767
        apart = frame[["x", "y"]].to_numpy()
        scale = np.ptp(apart[:, 0]) / np.ptp(xy[:, 0])  # the same in both directions
        np.testing.assert_allclose((xy - xy[0]) * scale, apart - apart[0], atol=2e-3)
        sample = data["samples"][found["sample"]]
        assert sample["true_class"] == list(frame["true_class"])
        assert sample["positive"] == list(frame["positive"].astype(int))


def test_diagrams_keep_every_finite_bar(data):
    for found in data["diagrams"].values():
        np.testing.assert_allclose(
            unpacked(found["h0"], "<u2") * found["step"], np.linspace(0.1, 0.9, 9), atol=2e-5
        )
        bars = unpacked(found["h1"], "<u2").reshape(-1, 2) * found["step"]
        np.testing.assert_allclose(bars, [[0.5, 0.6], [0.5, 0.8], [0.7, 0.75]], atol=2e-5)
        assert (found["points"], found["radius"]) == ([10, 8], 0.25)


def test_latents_that_are_all_one_point_make_a_projection_and_a_diagram():
    frame = explored.networks()
    key = frame["key"][0]
    dots = explored.projections(frame)[key].assign(x=0.0, y=0.0)
    bars = explored.diagrams(frame)[key].query("dimension == 0 and death == inf")
    found = content(explorer.page(frame, {key: dots}, {key: bars}, label="q", provenance={}))
    assert not unpacked(found["projections"][key]["xy"], "<i2").any()
    assert found["diagrams"][key]["h0"] == found["diagrams"][key]["h1"] == ""


def test_nothing_is_loaded_and_the_browser_is_told_so(page):
    assert not pages._EXTERNAL.search(page)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-")
    assert not re.search(r"\beval\(|innerHTML|document\.write|Function\(", page)
    assert not re.search(r"\{\{\w+\}\}", page), "a place is left unfilled"
    assert page.count(pages.NAV) == 1


def test_what_data_say_is_never_markup():
    frame = explored.networks()
    bad = "</script><script>alert(1)</script><!-- {{js}}"
    frame.loc[2, ["configuration", "dataset"]] = bad
    page = explored.page(frame, label=f"quick {bad}", provenance={bad: bad})
    assert page.count("<script") == 3 and page.count("</script>") == 3
    assert "alert(1)</script>" not in page
    assert content(page)["columns"]["dataset"][2] == bad


def test_the_scale_is_said(page):
    assert "quick profile · not paper scale" in page
    assert "not paper scale" not in explored.page(label="paper", paper_scale=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": "seperability"}, "unknown measure 'seperability'; .* did you mean 'separability'"),
        ({"y": "seed"}, "unknown measure 'seed'; choose last,"),
        ({"colour": "epochs"}, "unknown colour 'epochs'; choose probability,"),
    ],
)
def test_an_unknown_column_names_the_nearest(changes, message):
    with pytest.raises(ConfigError, match=message):
        explored.page(**changes)


def test_frames_that_will_not_do_say_what_to_do():
    frame = explored.networks()
    with pytest.raises(ConfigError, match="no network to explore; train some with .*pipeline.py"):
        explored.page(frame[:0])
    with pytest.raises(ConfigError, match=r"lack family, last; .*explorer_data\.networks\(study\)"):
        explored.page(frame.drop(columns=["last", "family"]))


def test_a_page_in_a_report_has_links_to_its_siblings(page):
    nav = [("Index", "index.html"), ("Latent explorer", "explorer.html")]
    found = pages.with_nav(page, "Latent explorer", nav)
    assert '<nav><a href="index.html">Index</a>' in found
    assert '<a href="explorer.html" aria-current="page">Latent explorer</a></nav>' in found
    assert len(found) > len(page) and pages.NAV not in found


def test_scripts_stay_readable():
    for file in explorer.FILES.values():
        lines = file.read_text().splitlines()
        assert len(lines) < 400 and (file.suffix != ".js" or max(map(len, lines)) <= 110), file.name


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three networks of the smoke profile, trained for an epoch in this process."""
    found = Study("smoke", {"epochs": 1}, results=tmp_path_factory.mktemp("explorer"))
    chosen = [e for e in found.profile.networks("rq1") if e.activation == "tanh"]
    train_into(found.store, chosen)
    return found


def test_what_a_study_has_is_in_its_page(study):
    given = material.material(study)
    frame = given["networks"]
    assert len(frame) == len(study.networks) == 3
    assert set(given["projections"]) == set(given["diagrams"]) == set(frame["key"])
    size = study.profile.rq2
    assert all(len(f) == size.explorer_points for f in given["projections"].values())
    assert all(f["h0_points"].eq(size.explorer_points).all() for f in given["diagrams"].values())
    for run in study.networks:
        row = frame.set_index("key").loc[run.experiment.key]
        assert row["last"] == run.summary["last"] and row["test_accuracy"] == run.summary["best"]
    seen = latents.structures(study)
    np.testing.assert_array_equal(frame["separability_observed"], seen["separability"])
    found = content(explorer.page(**given))
    assert found["columns"]["structure"] == list(seen["structure"])
    assert explorer.page(**material.material(study)) == explorer.page(**given)


def test_projections_of_the_explorer_are_kept_apart_from_those_of_the_report(study):
    run = study.networks[0]
    assert not study.lacks(lambda: material.projection(study, run))
    assert study.lacks(lambda: latents.projection(study, run))
    assert study.lacks(lambda: networks.homology(study, run))
    assert study.profile.rq2.tsne_points > study.profile.rq2.explorer_points
    assert isinstance(material.diagram(study, run), pd.DataFrame)


def test_a_report_version_holds_the_page_and_links_to_it(tmp_path, page):
    made = tmp_path / "work" / "explorer.html"
    made.parent.mkdir()
    made.write_text(page, encoding="utf-8")
    folder = publish(tmp_path, [executed(tmp_path / "run")], pages={"Latent explorer": made})
    text = (folder / "explorer.html").read_text()
    assert 'aria-current="page">Latent explorer</a></nav>' in text
    assert content(text) == content(page)
    assert '<a href="explorer.html">Latent explorer</a>' in (folder / "index.html").read_text()
    assert '<a href="explorer.html">' in (folder / "rq1.html").read_text()
    assert versions.verify(folder) == []
    (folder / "explorer.html").write_text("x")
    assert versions.verify(folder) == ["changed: explorer.html"]
    made.write_text(explored.page(label="other"), encoding="utf-8")
    other = publish(tmp_path, [tmp_path / "run/rq1"], pages={"Latent explorer": made})
    assert other != folder
