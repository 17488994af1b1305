"""Data files that are damaged, forged or bombs, and servers that lie: one clear error, in bounded
memory and time; nothing in them runs, and nothing is written elsewhere."""

import gzip
import io
import json
import os
import re
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ffcore.errors import DataError, FFError
from ffreport.data import download, formats, load, own, sources
from tests.ffcore.test_data import pin, sha256, small_files, zipped
from tests.rigs import bombs
from tests.rigs.fuzzing import EXAMPLES, damaged, note_counts, told
from tests.support.commands import ROOT
from tests.support.measured import note

NUMBERS = np.random.default_rng(0)
PIXELS = NUMBERS.integers(0, 256, (20, 2, 3)).astype(np.uint8)
LABELS = np.arange(20) % 2
HEADS = st.one_of(
    st.tuples(*[st.sampled_from([0, 1, 2, 3, 20, 2**16, 2**31, 2**32 - 1])] * 3),
    st.tuples(*[st.integers(0, 2**32 - 1)] * 3),
)


@pytest.fixture(autouse=True, scope="module")
def _counted():
    yield
    note_counts()


@pytest.fixture(autouse=True)
def _own(monkeypatch):
    monkeypatch.setenv(own.VARIABLE, "{}")
    yield
    own._newest.clear()


@EXAMPLES
@given(st.data())
def test_damaged_idx_files_are_a_data_set_or_one_clear_error(tmp_path, data):
    content = [
        bombs.idx((20, 2, 3), PIXELS.tobytes()),
        bombs.idx((20,), bytes(LABELS.tolist())),
    ] * 2
    place = data.draw(st.integers(0, 3))
    zip_first = data.draw(st.booleans())
    if data.draw(st.booleans()):
        dims = data.draw(HEADS)
        content[place] = bombs.idx(dims, content[place][16:])
    packed = [gzip.compress(c, 1, mtime=0) if zip_first else c for c in content]
    packed[place] = data.draw(damaged(packed[place]) | st.just(packed[place]))
    for name, raw in zip(bombs.IDX, packed, strict=True):
        (tmp_path / name).write_bytes(raw)
    with told("your own data, IDX"):
        own.identify(tmp_path)


@EXAMPLES
@given(st.data())
def test_a_damaged_npz_is_a_data_set_or_one_clear_error(tmp_path, data):
    kind = data.draw(st.sampled_from(
        ["|u1", "<i8", ">i4", "<f4", "<f8", "|b1", "<U2", "|S3", "|O", "<M8[s]", "<c8", "<U0",
         "|V4", "<f2", "<u8"]
    ))  # fmt: skip
    size = np.dtype(kind).itemsize or 1
    shape = data.draw(st.sampled_from([(20,), (20, 1), (20, 6), (20, 2, 3), (20, 3, 2, 2), (0,),
                                       (), (2**62, 2**3), (-1, 20), (10**9, 28)]))  # fmt: skip
    count = abs(int(np.prod(shape, dtype=object)))
    body = (data.draw(st.binary(min_size=8, max_size=8)) * 1250)[: count * size]
    forged = bombs.npy(repr(kind), repr(shape), body, data.draw(st.booleans()))
    good = bombs.npy("'|u1'", "(20, 2, 3)", PIXELS.tobytes())
    truth = bombs.npy("'<i8'", "(20,)", LABELS.astype("<i8").tobytes())
    members = data.draw(st.sampled_from([[("X.npy", good), ("y.npy", forged)],
                                         [("X.npy", forged), ("y.npy", truth)],
                                         [("X.npy", good), ("y.npy", truth)],
                                         [("X.npy", good), ("../y.npy", truth)]]))  # fmt: skip
    stream = io.BytesIO()
    bombs.zip_of(stream, members, data.draw(st.sampled_from([0, 8])))
    whole = stream.getvalue()
    (tmp_path / "x.npz").write_bytes(data.draw(st.just(whole) | damaged(whole)))
    with told("your own data, npz"):
        own.identify(tmp_path / "x.npz")


def image(kind):
    stream = io.BytesIO()
    Image.fromarray(NUMBERS.integers(0, 256, (6, 5, 3)).astype(np.uint8)).save(stream, kind)
    return stream.getvalue()


IMAGES = {kind: image(kind) for kind in ("png", "jpeg", "bmp")}
ALIKE = {kind: {label: image(kind) for label in "ab"} for kind in IMAGES}


@pytest.mark.parametrize("kind", IMAGES)
@EXAMPLES
@given(data=st.data())
def test_a_damaged_image_is_one_of_a_data_set_or_one_clear_error(tmp_path, kind, data):
    for label in "ab":
        (tmp_path / label).mkdir(exist_ok=True)
        for number in range(5):
            (tmp_path / label / f"{number}.{kind}").write_bytes(ALIKE[kind][label])
    (tmp_path / "a" / f"0.{kind}").write_bytes(data.draw(damaged(IMAGES[kind])))
    with told(f"your own data, {kind.upper()}"):
        own.identify(tmp_path)


@EXAMPLES
@given(st.data())
def test_a_damaged_published_file_is_the_published_one_or_one_clear_fault(tmp_path, data):
    raw = bombs.idx((20, 2, 3), PIXELS.tobytes())
    packed = gzip.compress(raw, mtime=0)
    file = sources.File("x.gz", sha256(raw), len(raw), (20, 2, 3))
    (tmp_path / "x.gz").write_bytes(data.draw(damaged(packed) | damaged(raw)))
    with told("published data, gzip and IDX"):
        try:
            assert sources.content(file, tmp_path / "x.gz") == (raw, True)
        except formats.Fault as fault:
            raise FFError(str(fault)) from None


def test_bombs_are_refused_in_bounded_memory(tmp_path):
    expected = bombs.write(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "tests.rigs.bombs", str(tmp_path)], cwd=ROOT, timeout=200,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    wrong = {name: found[name][0] for name, pattern in expected.items()
             if not re.search(pattern, found[name][0]) or len(found[name][0]) > 1500}  # fmt: skip
    assert not wrong
    most = sum(more for _, more, _ in found.values())
    assert most < 2**27
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    note(
        "hostile/bombs",
        "Small files that claim or unpack to far more: counts of 2³², gzip of a gigabyte, "
        "npz headers, bzip2 and lzma members, images of 2³¹ pixels a side; each refused",
        f"{len(found)} of {len(expected)} refused, {size / 1e6:.0f} MB of files, "
        f"{most / 1e6:.0f} MB of memory more at most, "
        f"{max(s for *_, s in found.values()):.1f} s the slowest",
        "pytest -n0 --measured tests/whole/test_hostile_data.py -k bombs",
    )  # fmt: skip


def test_pipes_devices_and_links_in_a_tree_of_images_are_named(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(5):
            (tmp_path / label / f"{number}.png").write_bytes(IMAGES["png"])
    strange = tmp_path / "a" / "5.png"
    os.mkfifo(strange)
    with pytest.raises(DataError, match="5.png is no regular file"):
        own.identify(tmp_path)
    for target in ("/dev/zero", "5.png", "/nowhere"):
        strange.unlink()
        strange.symlink_to(target)
        with pytest.raises(DataError, match="5.png (is no regular file|cannot be read)"):
            own.identify(tmp_path)
    strange.unlink()
    strange.symlink_to("/etc/passwd")
    with pytest.raises(DataError, match="5.png is no PNG, JPEG or BMP image"):
        own.identify(tmp_path)
    strange.unlink()
    (tmp_path / "c").symlink_to("/")
    with pytest.raises(DataError, match="is a folder where images of one"):
        own.identify(tmp_path)
    os.mkfifo(tmp_path / "x.npz")
    with pytest.raises(DataError, match="there is no file or folder"):
        own.identify(tmp_path / "x.npz")


@pytest.mark.parametrize("name", ["\x1b[31mred", "a\nb", "<img src=x onerror=alert(1)>", "\u202ea"])
def test_names_of_files_and_classes_are_told_so_that_nothing_acts_on_them(tmp_path, name):
    for label in (name, "b"):
        (tmp_path / label).mkdir()
        for number in range(5):
            (tmp_path / label / f"{number}.png").write_bytes(image("png"))
    found = own.identify(tmp_path)
    assert re.fullmatch(r"[a-z0-9-]+@[0-9a-f]{8}", found)
    assert not re.search("[\x1b\u202e]", str(own.facts(found)))
    (tmp_path / name / "x\x1b.txt").write_text("no image")
    with pytest.raises(DataError) as caught:
        own.identify(tmp_path)
    assert not re.search("[\x1b\u202e\n]", str(caught.value))


def test_labels_of_bytes_that_are_no_text_are_refused(tmp_path):
    for point in (0x110000, 0xD800):
        labels = np.frombuffer(np.array([point, 98] * 10, "<u4").tobytes(), "<U1")
        np.savez(tmp_path / "x.npz", X=PIXELS, y=labels)
        with pytest.raises(DataError, match="numbers that are no character"):
            own.identify(tmp_path / "x.npz")
    for label in (b"\xff", b"b"):
        (tmp_path / "t" / os.fsdecode(label)).mkdir(parents=True)
        for number in range(5):
            (tmp_path / "t" / os.fsdecode(label) / f"{number}.png").write_bytes(IMAGES["png"])
    with pytest.raises(DataError, match="numbers that are no character"):
        own.identify(tmp_path / "t")


@pytest.mark.parametrize("path", ["~nobody-of-this-name/x.npz", "a\0b.npz", "/" + "a" * 5000])
def test_a_path_that_cannot_be_is_one_clear_error(path):
    for call in (sources.resolve, own.identify):
        with pytest.raises(FFError):
            call(path)
    with pytest.raises(FFError, match="home folder"):
        load.check("mnist", "~nobody-of-this-name")


class Liar(BaseHTTPRequestHandler):
    """Answers as the first part of the path says."""

    stop = threading.Event()
    body = b""

    def do_GET(self):
        getattr(self, self.path.split("/")[1])()

    def head(self, *headers, status=200):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def silence(self):
        self.head(("Content-Length", str(len(self.body))))
        self.wfile.write(self.body[:9])
        self.wfile.flush()
        self.stop.wait(30)

    def endless(self):
        self.head()
        while not self.stop.is_set():
            self.wfile.write(bytes(2**16))

    def longer(self):
        self.head(("Content-Length", "9" * 30))
        self.wfile.write(self.body)

    def negative(self):
        self.head(("Content-Length", "-5"))
        self.wfile.write(b"x")

    def loop(self):
        self.head(("Location", self.path), status=302)

    def file(self):
        self.head(("Location", "file:///etc/passwd"), status=302)

    def nowhere(self):
        self.head(("Location", "http://[bad"), status=302)

    def packed(self):
        self.head(("Content-Encoding", "gzip, gzip"), ("Content-Type", "text/html"))
        self.wfile.write(gzip.compress(gzip.compress(bytes(10**7)) * 20))

    def garbage(self):
        self.wfile.write(b"\x00\xff\x1b[31m" * 100 + b"\r\n\r\n")

    def chunks(self):
        self.head(("Transfer-Encoding", "chunked"))
        self.wfile.write(b"fffffffff\r\nx")

    def log_message(self, *_):
        pass


@pytest.fixture
def liar():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # who was lied to hangs up
    Liar.stop.clear()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    Liar.stop.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(("lie", "said"), [
    ("silence", "does not answer in time"), ("endless", "too long"),
    ("longer", "broke off|cannot be used|too long"),
    ("negative", "truncated|no such|not the published"),
    ("loop", "cannot be used"), ("file", "cannot be used"), ("nowhere", "cannot be used"),
    ("packed", "is truncated|no such IDX|not the published|damaged|too long"),
    ("garbage", "cannot be reached|broke off|cannot be used"), ("chunks", "broke off"),
])  # fmt: skip
def test_a_server_that_lies_is_told_of_and_leaves_nothing(monkeypatch, tmp_path, liar, lie, said):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(sources, "SYSTEM_FOLDERS", {})
    monkeypatch.setattr(download, "TIMEOUT", (10, 0.4))
    files = small_files(0)
    pin(monkeypatch, "mnist", [sha256(blob) for blob in files.values()])
    Liar.body = next(iter(zipped(files).values()))
    began = time.monotonic()
    with pytest.raises(DataError) as caught:
        load.fetch("mnist", tmp_path / "new", [f"{liar}{lie}/"])
    assert re.search(said, str(caught.value)) and "\x1b" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    assert time.monotonic() - began < 60  # no hang


def test_a_header_that_claims_more_than_numpy_reads_is_refused_before_it_is_read(tmp_path):
    head = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**17) + bytes(2**17)
    bombs.zip_of(tmp_path / "x.npz", [("X.npy", head), ("y.npy", head)])
    with pytest.raises(DataError, match="expected 131072 bytes got"):
        own.identify(tmp_path / "x.npz")
