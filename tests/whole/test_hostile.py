"""Whatever stands in a file that people or machines can touch: a clear error, or a damaged state,
and never anything else.

Many more inputs: ``pytest tests/test_hostile*.py --hypothesis-profile many``.
"""

import ast
import functools
import itertools
import json
import os
import re
import shutil
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffcore import files, plugins
from ffcore.checkpoints import remove_done
from ffcore.errors import FFError
from ffreport.analysis.claims import ledger
from ffreport.base import locks
from ffreport.base.code import definitions
from ffreport.pipeline.book import Book
from ffreport.pipeline.upkeep import share, unused
from ffreport.publish import trace, versions
from ffreport.publish.diff import compare
from ffreport.publish.notebooks import catalogue
from ffreport.runs import frames, listing, shipped
from ffreport.runs import record as sealed
from ffreport.runs.index import Remembered
from ffreport.runs.store import Store
from ffreport.study.profiles import make_profile
from ffreport.study.study import read_profile
from tests.conftest import tiny
from tests.rigs.fuzzing import EXAMPLES, damaged, note_counts, told
from tests.support.commands import pipeline

ROOT = Path(__file__).parents[2]
SMOKE = (ROOT / "profiles" / "smoke.yaml").read_bytes()
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.fixture(autouse=True, scope="module")
def _counted():
    yield
    note_counts()


@EXAMPLES
@given(damaged(SMOKE))
def test_a_damaged_profile_is_a_profile_or_one_clear_error(tmp_path, content):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with told("profiles"):
        read_profile(str(path), root=ROOT)


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
    try:  # other spaces or line breaks are no damage
        same = json.loads((folder / "run.json").read_bytes()) == json.loads(whole)
    except ValueError:
        same = False
    with told("records of stored runs"):
        store = Store(results)
        assert store.state(tiny()).name == ("stored" if same else "damaged")
        assert len(store.all()) == len(store.usable([tiny()])) == len(store.experiments()) == same
        assert not list(results.glob("**/*.tmp"))
        if not same:
            store.load(tiny())


@pytest.fixture(scope="module")
def parsed_once():
    """The package's code is parsed once for all listings here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "definitions", functools.cache(lambda book=None: definitions()))
        yield


def places(value, path=()):
    """The path of every value inside of one."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield from [(*path, key), *places(inner, (*path, key))]


@EXAMPLES
@given(st.data())
def test_whatever_stands_in_a_record_that_was_sealed_again_commands_go_on(
    stored, parsed_once, data
):
    results, folder, whole = stored
    record = json.loads(whole)
    *way, last = data.draw(st.sampled_from([*places(record)]))
    inner = record
    for key in way:
        inner = inner[key]
    if data.draw(st.booleans()):
        inner[data.draw(st.sampled_from(STRANGE) | st.just(last))] = inner.pop(last)
    else:
        inner[last] = data.draw(values | st.sampled_from([10**400, "\0", "\x1b[2J", float("inf")]))
    with told("records sealed again"):
        (folder / "run.json").write_text(json.dumps(record | {"seal": sealed.seal(record)}))
        listed_and_consolidated(results)


STRANGE = ["a\0b", "../x", "", "\x1b[2J", "é" * 300]


def listed_and_consolidated(results):
    """What commands do with every run of a store."""
    store = Store(results)
    store.state(tiny(), {"code": {"m": {"f": "1"}}})
    runs = listing.listed(store)
    found = listing.chosen(runs, ["seed=0-9", "norm=l2", "epochs=1-5"])
    lines = [*listing.table(runs), *listing.as_csv(found), listing.counted(found, len(runs))]
    assert not any("\x1b" in line for line in listing.table(runs)) and lines
    store.consolidate()
    store.all(), store.experiments(), store.usable([tiny()])
    unused.find(store, unused.Kept())


@pytest.mark.parametrize(
    "path, value",
    [
        ("files/history.parquet/bytes", 10**400),
        ("files/history.parquet/bytes", float("inf")),
        ("seconds/training", 10**400),
        ("summary/epochs", None),
        ("summary/epochs", [1]),
        ("summary/best", 10**400),
        ("summary/best", "high"),
        ("summary/best", {}),
        ("experiment/seed", "abc"),
        ("experiment/seed", 2**80),
        ("experiment/norm", 5),
        ("provenance", []),
        ("name", "\x1b]0;title\x07"),
    ],
)
def test_a_record_with_an_impossible_value_is_no_error_of_the_commands(
    stored, parsed_once, path, value
):
    results, folder, whole = stored
    record = json.loads(whole)
    *way, last = path.split("/")
    inner = record
    for key in way:
        inner = inner[key]
    inner[last] = value
    (folder / "run.json").write_text(json.dumps(record | {"seal": sealed.seal(record)}))
    listed_and_consolidated(results)


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """A published version, made by hand, with a figure of ours in it."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from ffreport.publish.output import open_output

    folder = tmp_path_factory.mktemp("published") / "reports" / "smoke-1"
    out = open_output(folder, profile="smoke", provenance={"options": "--profile smoke"})
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.plot([0, 1])
    out.figure(figure, "line", "A line.")
    head = {"version": "smoke-1", "profile": {"name": "smoke"},
            "files": {p.relative_to(folder).as_posix():
                      {"sha256": "0" * 64, "bytes": 1} for p in folder.rglob("*.png")}}  # fmt: skip
    parts = versions._sealed(head) | {"measured": versions._sealed({"created": "2026-01-01"})}
    (folder / "manifest.json").write_text(json.dumps(parts))
    return folder


@EXAMPLES
@given(st.data())
def test_a_damaged_manifest_is_told_and_lists_and_traces_go_on(version, data):
    manifest = version / "manifest.json"
    whole = manifest.read_bytes()
    try:
        manifest.write_bytes(data.draw(damaged(whole)))
        with told("manifests"):
            if manifest.read_bytes() != whole:
                assert any("manifest" in p or ":" in p for p in versions.verify(version))
            versions.versions(version.parent.parent)
            trace.published(version / "figures" / "line.png", version.parent.parent)
    finally:
        manifest.write_bytes(whole)


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
@EXAMPLES
@given(data=st.data())
def test_a_damaged_figure_has_a_record_or_one_clear_error(version, tmp_path, kind, data):
    path = tmp_path / f"copy.{kind}"
    whole = (version / "figures" / f"line.{kind}").read_bytes()
    start = max(whole.index(b"smoke") - 700, 0)  # the record is around its profile's name
    part = data.draw(damaged(whole[start : start + 1400]))
    path.write_bytes(whole[:start] + part + whole[start + 1400 :])
    with told(f"figures, {kind.upper()}"):
        assert trace.record(path)["figure"]


@EXAMPLES
@given(st.binary(max_size=200))
def test_a_foreign_book_or_checkpoint_counts_as_none(tmp_path, content):
    for name in ("book.json", "one.checkpoint"):
        (tmp_path / name).write_bytes(content)
    with told("books, locks and checkpoints"):
        assert isinstance(Book(tmp_path / "book.json").entries, dict)
        assert isinstance(locks._owner(tmp_path / "book.json"), dict)
        assert Remembered(tmp_path / "book.json").of(tmp_path / "one.checkpoint", lambda: 5) == 5
        remove_done(tmp_path, set())
        assert not (tmp_path / "one.checkpoint").exists()


@EXAMPLES
@given(values)
def test_a_foreign_ledger_is_one_clear_error(content):
    with told("ledgers"):
        ledger.read(content)


def test_what_a_few_bytes_of_an_svg_stand_for_is_not_written_out(tmp_path):
    path = tmp_path / "a.svg"
    path.write_text(f'<!DOCTYPE a [<!ATTLIST a x CDATA "{"y" * 10_000}">]><b>{"<a/>" * 20_000}</b>')
    tracemalloc.start()
    with pytest.raises(FFError):
        trace.record(path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_a_version_with_an_impossible_value_is_left_out_of_the_list(tmp_path):
    head = {"version": "smoke-1", "profile": {"name": "\x1b[2Jsmoke"}, "files": {}}
    for number, created in ((7, "2026-01-01"), (1, 5), (2, "2026-01-02"), ([], "")):
        about = versions._sealed({"created": created, "number": number})
        folder = tmp_path / "reports" / f"smoke-{created}"
        folder.mkdir(parents=True)
        content = versions._sealed(head | {"version": folder.name}) | {"measured": about}
        text = json.dumps(content).replace('"number": 7', '"number": Infinity')
        (folder / "manifest.json").write_text(text)
    assert [v.name for v in versions.versions(tmp_path)] == ["smoke-5", "smoke-2026-01-02"]
    said = pipeline("reports", "list", "--results", tmp_path)
    assert "\x1b" not in said and said.count("\n") == 2


def test_names_from_outside_never_leave_their_folder(tmp_path):
    store = Store(tmp_path)
    run = store.save(tiny(), {"epochs": 2}, {"history": [{"epoch": 1}]}, {}, {}, {})
    record = json.loads((run.folder / "run.json").read_text())
    shutil.copy(run.folder / "history.parquet", tmp_path / "outside.parquet")
    record["files"]["../../outside.parquet"] = record["files"]["history.parquet"]
    record["seal"] = sealed.seal(record)
    (run.folder / "run.json").write_text(json.dumps(record))
    assert Store(tmp_path).state(tiny()).name == "damaged"


DEEP = "[" * 100_000
IMPOSSIBLE = {
    "nested without end": DEEP,
    "a mapping inside of itself": "a: &a [*a]",
    "aliases that grow": "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{n}: &{n} [{', '.join([f'*{m}'] * 10)}]\n" for m, n in itertools.pairwise("abcdefgh")
    ),
    "no such date": "title: 2001-13-45",
    "no such time": "title: 2001-01-01t99:00:00Z",
    "a number without digits": "title: 0x_",
    "too long a number": f"title: {'1' * 5000}",
    "a tag that would run something": "title: !!python/object/apply:os.mkdir [ran]",
    "a plug-in with a null byte": 'plugins: ["a\\0b"]',
    "too large": f"title: {'x' * 2**20}",
    "a number to the base of 60": "title: 1" + ":0" * 300 + ":0.5",
    "a long number to the base of 60": "title: 1" + ":0" * 30_000,
    "a long number to the base of 16": "title: 0x" + "f" * 5000,
    "lists that multiply": SMOKE.decode().replace(
        "[0.25, 0.5, 0.75]", f"{[0.5] * 900}\n    seeds: {[*range(900)]}"),
}  # fmt: skip


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_yaml_that_no_parser_should_meet_is_one_clear_error(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(IMPOSSIBLE[what])
    with pytest.raises(FFError) as caught:
        read_profile("mine.yaml", root=ROOT)
    assert len(str(caught.value)) < 600 and not (tmp_path / "ran").exists()


def test_aliases_inside_each_other_count_with_all_that_they_stand_for():
    deep = "a: &a " + "[" * 60 + "]" * 60 + "\nb: " + "[" * 60 + "*a" + "]" * 60
    with pytest.raises(ValueError, match="nested deeper"):
        files.parsed_yaml(deep)
    assert files.parsed_yaml("a: &a [1, 2]\nb: [*a, *a]")["b"] == [[1, 2], [1, 2]]
    with pytest.raises(ValueError, match="with its aliases"):
        files.parsed_yaml(IMPOSSIBLE["aliases that grow"])


@pytest.mark.parametrize(
    "name",
    [
        "<img src=x onerror=alert(1)>",
        "a b",
        ".hidden",
        "x;ls",
        "$(ls)",
        "a\nb",
        "\u202eabc",
        "=1+1",
        "-rf",
        "a" * 101,
        "ü" * 60,
        "`x`",
    ],
)
def test_a_profile_whose_name_would_end_up_in_pages_and_commands_is_refused(tmp_path, name):
    (tmp_path / f"{name}.yaml").write_bytes(SMOKE)
    with pytest.raises(FFError, match="rename"):
        read_profile(str(tmp_path / f"{name}.yaml"), root=ROOT)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\0b", "a" * 5000, "\u202e"])
def test_a_name_that_is_no_profile_is_one_clear_error(name):
    for asked in (name, f"{name}.yaml"):
        with pytest.raises(FFError):
            read_profile(asked, root=ROOT)


def test_json_nested_without_end_is_damage_wherever_it_is_read(tmp_path, stored):
    version = tmp_path / "reports" / "smoke-1"
    version.mkdir(parents=True)
    for name in (".book.json", ".lock.json", "reports/smoke-1/manifest.json", "rq1.ipynb", "r"):
        (tmp_path / name).write_text(DEEP)
    assert Book(tmp_path / ".book.json").entries == locks._owner(tmp_path / ".lock.json") == {}
    assert versions.verify(version) == ["changed: manifest.json"]
    assert versions.versions(tmp_path) == []
    assert not compare._side("A", version).manifest
    assert Remembered(tmp_path / "r").of(tmp_path / "rq1.ipynb", lambda: 5) == 5
    with pytest.raises(FFError, match="no valid JSON"):
        catalogue.read(tmp_path / "rq1.ipynb")
    results, folder, whole = stored
    (folder / "run.json").write_text(DEEP)
    assert Store(results).state(tiny()).name == "damaged" and not Store(results).experiments()
    (folder / "run.json").write_bytes(whole)


def test_a_book_of_other_values_is_told_and_empty(tmp_path, capsys):
    for content in ('{"a": 5}', '{"a": {"inputs": {}, "seconds": "1"}}', "[]", DEEP):
        (tmp_path / "book").write_text(content)
        assert Book(tmp_path / "book").entries == {}
        assert "is damaged" in capsys.readouterr().err


def test_a_remembered_entry_that_is_cut_short_is_computed_again(tmp_path):
    (tmp_path / "file").write_text("1")
    found = (tmp_path / "file").stat()
    entry = [[found.st_size, found.st_mtime_ns]]
    (tmp_path / "book").write_text(f"{tmp_path.name}/file\t{json.dumps(entry)}\n")
    assert Remembered(tmp_path / "book").of(tmp_path / "file", lambda: 5) == 5


def test_a_pipe_or_device_where_a_file_should_be_does_not_hang(tmp_path, stored):
    results, folder, whole = stored
    version = tmp_path / "reports" / "smoke-1"
    (version / "figures").mkdir(parents=True)
    places = [tmp_path / "p.yaml", version / "manifest.json", version / "figures" / "x.png"]
    for place in places:
        os.mkfifo(place)
    with pytest.raises(FFError):
        read_profile(str(places[0]), root=ROOT)
    assert versions.verify(version) == ["missing: manifest.json"]
    with pytest.raises(FFError, match="no regular file"):
        trace.record(places[2])
    places[1].unlink()
    head = {"version": "smoke-1", "files": {"figures/x.png": {"sha256": "0" * 64, "bytes": 1}}}
    parts = versions._sealed(head) | {"measured": versions._sealed({"created": ""})}
    places[1].write_text(json.dumps(parts))
    assert versions.verify(version) == ["changed: figures/x.png"]
    places[0].unlink()
    places[0].symlink_to("/dev/zero")
    with pytest.raises(FFError):
        read_profile(str(places[0]), root=ROOT)
    with pytest.raises(FFError, match="no regular file"):
        plugins.load(places[0])


@EXAMPLES
@given(st.data())
def test_damaged_tables_and_weights_of_a_run_are_one_clear_error(stored, data):
    results, folder, _ = stored
    (store,) = Store(results).all()
    part = data.draw(st.sampled_from(["history.parquet", "weights.safetensors"]))
    whole = (folder / part).read_bytes()
    try:
        (folder / part).write_bytes(data.draw(damaged(whole)))
        with told(f"stored {part}"):
            if (folder / part).read_bytes() != whole:
                assert Store(results).state(tiny()).name == "damaged"
            store.table("history"), store.weights()
    finally:
        (folder / part).write_bytes(whole)


@EXAMPLES
@given(st.data())
def test_damaged_shipped_tables_are_one_clear_error(stored, tmp_path, data):
    results, folder, _ = stored
    parts = shipped.FORMATS["network"].files
    if not (tmp_path / parts[0]).exists():
        share.networks(tmp_path, Store(results).all())
    part = data.draw(st.sampled_from(parts))
    whole = (tmp_path / part).read_bytes()
    try:
        (tmp_path / part).write_bytes(data.draw(damaged(whole)))
        with told("shipped tables"):
            shipped.read(tmp_path, "network")
    finally:
        (tmp_path / part).write_bytes(whole)


def test_whatever_a_parquet_reader_raises_is_damage(tmp_path):
    with pytest.raises(ValueError, match="x.parquet is damaged: KeyError"):
        with frames._damage_told(tmp_path / "x.parquet"):
            raise KeyError


def test_nothing_that_lies_on_disk_is_unpickled_and_nothing_is_evaluated():
    """What could run code, by module: each is one that was looked at."""
    allowed = {
        "data/formats": {
            "pickle.Unpickler",
            "pickle.UnpicklingError",
        },  # of globals that do nothing
        "pipeline/latents": {"pickle.dumps", "pickle.loads"},  # from one process to another
        "bench/latents": {"pickle.dumps"},  # for its size
        "plugins/__init__": {"exec", "compile"},  # a plug-in is code by purpose
        "base/digests": {"subprocess.run", "subprocess.SubprocessError"},  # git
        "bench/start": {"subprocess.run"},  # our own command
        "published/__init__": {"yaml.load"},  # with a safe loader, a file of the package
    }
    for path in [p for name in ("ffcore", "ffreport") for p in (ROOT / name).rglob("*.py")]:
        found = {
            name for node in ast.walk(ast.parse(path.read_text()))
            if re.fullmatch(
                r"(exec|eval|compile|__import__|pickle\.\w+|marshal\.\w+|shelve\.\w+|joblib\.\w+"
                r"|subprocess\.\w+|os\.(system|popen)|yaml\.(load|unsafe_load|full_load|load_all)"
                r"|(np|numpy|torch)\.load|pd\.read_pickle)", name := _called(node))
        }  # fmt: skip
        assert found <= allowed.get(f"{path.parent.name}/{path.stem}", set()), path
    assert "SafeLoader" in (ROOT / "ffreport/analysis/published/__init__.py").read_text()


def _called(node):
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
