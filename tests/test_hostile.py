"""Whatever stands in a file that people or machines can touch: a clear error, or a damaged state,
and never anything else.

Many more inputs: ``pytest tests/test_hostile.py --hypothesis-profile many``.
"""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ffcore import claims, doing, reports, tracing
from ffcore.checkpoints import remove_done
from ffcore.errors import FFError
from ffcore.profiles import make_profile
from ffcore.store import Store
from ffcore.study import read_profile
from tests.conftest import tiny

ROOT = Path(__file__).parent.parent
EXAMPLES = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
PIECES = [b"null", b"[]", b"{}", b"-1", b"1e999", b'"', b"&a *a", b"!!python/object:os.system"]
SMOKE = (ROOT / "profiles" / "smoke.yaml").read_bytes()
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def damaged(draw, content):
    """Content with some bytes changed, cut out, or put in."""
    raw = bytearray(content)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(len(raw) - 1, 0)))
        what = draw(st.sampled_from(["change", "cut", "insert"]))
        piece = draw(st.binary(min_size=1, max_size=6) | st.sampled_from(PIECES))
        if what == "change":
            raw[place : place + len(piece)] = piece
        elif what == "cut":
            del raw[place : place + draw(st.integers(1, 60))]
        else:
            raw[place:place] = piece
    return bytes(raw)


@EXAMPLES
@given(damaged(SMOKE))
def test_a_damaged_profile_is_a_profile_or_one_clear_error(tmp_path, content):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    try:
        read_profile(str(path), root=ROOT)
    except FFError as error:
        assert str(error) and "Traceback" not in str(error)


@EXAMPLES
@given(values)
def test_any_yaml_value_is_a_profile_or_one_clear_error(content):
    with pytest.raises(FFError):
        make_profile(content, "mine")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A store with one run, and the bytes of its record."""
    results = tmp_path_factory.mktemp("results")
    store = Store(results)
    run = store.save(tiny(), {"best": 0.5, "last": 0.5, "selected": None, "epochs": 2},
                     {"history": [{"epoch": 1, "test_accuracy": 0.5}]}, {},
                     {"training": 1.0}, {"code": {"m": {"f": "1"}}})  # fmt: skip
    return results, run.folder, (run.folder / "run.json").read_bytes()


@EXAMPLES
@given(st.data())
def test_a_damaged_record_is_a_damaged_run_and_no_run_of_its_store(stored, data):
    results, folder, whole = stored
    (folder / "run.json").write_bytes(data.draw(damaged(whole)))
    store = Store(results)
    try:  # other spaces or line breaks are no damage
        same = json.loads((folder / "run.json").read_bytes()) == json.loads(whole)
    except ValueError:
        same = False
    assert store.state(tiny()).name == ("stored" if same else "damaged")
    assert len(store.all()) == len(store.usable([tiny()])) == len(store.experiments()) == same
    assert not list(results.glob("**/*.tmp"))


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """A published version, made by hand, with a figure of ours in it."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from ffcore.outputs import open_output

    folder = tmp_path_factory.mktemp("published") / "reports" / "smoke-1"
    out = open_output(folder, profile="smoke", provenance={"options": "--profile smoke"})
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.plot([0, 1])
    out.figure(figure, "line", "A line.")
    head = {"version": "smoke-1", "profile": {"name": "smoke"},
            "files": {p.relative_to(folder).as_posix():
                      {"sha256": "0" * 64, "bytes": 1} for p in folder.rglob("*.png")}}  # fmt: skip
    parts = reports._sealed(head) | {"measured": reports._sealed({"created": "2026-01-01"})}
    (folder / "manifest.json").write_text(json.dumps(parts))
    return folder


@EXAMPLES
@given(st.data())
def test_a_damaged_manifest_is_told_and_lists_and_traces_go_on(version, data):
    manifest = version / "manifest.json"
    whole = manifest.read_bytes()
    try:
        manifest.write_bytes(data.draw(damaged(whole)))
        if manifest.read_bytes() != whole:
            assert any("manifest" in p or ":" in p for p in reports.verify(version))
        reports.versions(version.parent.parent)
        tracing.published(version / "figures" / "line.png", version.parent.parent)
    finally:
        manifest.write_bytes(whole)


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
@EXAMPLES
@given(data=st.data())
def test_a_damaged_figure_has_a_record_or_one_clear_error(version, tmp_path, kind, data):
    path = tmp_path / f"copy.{kind}"
    path.write_bytes(data.draw(damaged((version / "figures" / f"line.{kind}").read_bytes()[:4000])))
    try:
        assert tracing.record(path)["figure"]
    except FFError as error:
        assert str(path) in str(error)


@EXAMPLES
@given(st.binary(max_size=200))
def test_a_foreign_book_or_checkpoint_counts_as_none(tmp_path, content):
    for name in ("book.json", "one.checkpoint"):
        (tmp_path / name).write_bytes(content)
    assert isinstance(doing.noted(tmp_path / "book.json"), dict)
    remove_done(tmp_path, set())
    assert not (tmp_path / "one.checkpoint").exists()


@EXAMPLES
@given(values)
def test_a_foreign_ledger_is_one_clear_error(content):
    try:
        claims.read(content)
    except FFError:
        pass


def test_names_from_outside_never_leave_their_folder(tmp_path):
    store = Store(tmp_path)
    run = store.save(tiny(), {"epochs": 2}, {"history": [{"epoch": 1}]}, {}, {}, {})
    record = json.loads((run.folder / "run.json").read_text())
    shutil.copy(run.folder / "history.parquet", tmp_path / "outside.parquet")
    record["files"]["../../outside.parquet"] = record["files"]["history.parquet"]
    from ffcore.store import _seal

    record["seal"] = _seal(record)
    (run.folder / "run.json").write_text(json.dumps(record))
    assert Store(tmp_path).state(tiny()).name == "damaged"
