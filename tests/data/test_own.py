"""A user's own data set: read in every form, refused with a reason, named by what it holds."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from ffcore import data
from ffcore.errors import ConfigError, DataError
from ffreport.analysis import published
from ffreport.analysis.estimate import UNPUBLISHED
from ffreport.analysis.published import as_published
from ffreport.analysis.rq1 import verdicts
from ffreport.data import load, own, sources
from ffreport.pipeline.training import planning
from ffreport.study.study import read_profile

ROOT = Path(__file__).parents[2]
Arrays = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(own.VARIABLE, "")


def arrays(train: int = 12, test: int = 6, classes: int = 3, size: tuple[int, ...] = (4, 5)):
    """Random grey images whose labels go round."""
    draw = np.random.default_rng(0)
    x = [draw.integers(0, 256, (n, *size), dtype=np.uint8) for n in (train, test)]
    y = [np.arange(n) % classes for n in (train, test)]
    return {"x_train": x[0], "y_train": y[0], "x_test": x[1], "y_test": y[1]}


def npz(folder: Path, found: Arrays | None = None, name: str = "letters") -> Path:
    path = folder / f"{name}.npz"
    np.savez_compressed(path, **(arrays() if found is None else found))
    return path


def idx(folder: Path, found: Arrays, test: str = "t10k", first: int = 0, zipped: bool = False):
    """The four IDX files in ``folder``, labels from ``first``."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, of in (("train", "train"), (test, "test")):
        for kind, values in (("images-idx3", found[f"x_{of}"]), ("labels-idx1", found[f"y_{of}"])):
            values = values + (first if kind.startswith("labels") else 0)
            head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
            blob = head + values.astype(np.uint8).tobytes()
            name = f"{part}-{kind}-ubyte"
            (folder / f"{name}.gz").write_bytes(gzip.compress(blob)) if zipped else (
                folder / name
            ).write_bytes(blob)
    return folder


def tree(folder: Path, found: Arrays, names: str = "abcdefgh", end: str = "png") -> Path:
    """The images as files in ``train/<class>/`` and ``test/<class>/``, in their order."""
    for part in ("train", "test"):
        pairs = zip(found[f"x_{part}"], found[f"y_{part}"], strict=True)
        for number, (image, label) in enumerate(pairs):
            place = folder / part / names[label] / f"{number:05}.{end}"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place)
    return folder


def loaded(path: Path) -> data.Dataset:
    return load.load(own.identify(path))


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        own.identify(path)
    return str(caught.value)


def sorted_by_class(found: Arrays) -> Arrays:
    """In the order in which an image tree has them."""
    by = {part: np.argsort(found[f"y_{part}"], kind="stable") for part in ("train", "test")}
    return {key: values[by[key[2:]]] for key, values in found.items()}


# What is read


def test_the_same_arrays_in_every_form_are_the_same_data_set(tmp_path):
    found = sorted_by_class(arrays())
    medmnist = {"train_images": found["x_train"], "train_labels": found["y_train"][:, None],
                "test_images": found["x_test"], "test_labels": found["y_test"][:, None],
                "val_images": found["x_test"], "val_labels": found["y_test"]}  # fmt: skip
    places = [
        npz(tmp_path, found),
        npz(tmp_path / "Letters" if (tmp_path / "Letters").mkdir() is None else tmp_path, medmnist),
        idx(tmp_path / "raw" / "letters", found),
        idx(tmp_path / "gz" / "letters", found, "test", first=1, zipped=True),
        tree(tmp_path / "tree" / "LETTERS", found),
        tree(tmp_path / "bmp" / "letters", found, end="bmp"),
    ]
    names = {own.identify(place) for place in places}
    (name,) = names
    assert re.fullmatch(r"letters@[0-9a-f]{8}", name)
    for place in places:
        mine = loaded(place)
        assert (mine.train_images.numpy() == found["x_train"].reshape(12, 20)).all()
        assert (mine.test_labels.numpy() == found["y_test"]).all()
        assert (mine.shape, mine.classes, mine.name) == ((4, 5), 3, name)
    mark = load.fingerprint(name)
    assert mark == own.facts(name).content
    assert mark.startswith(name[-8:]) and len(mark) == 64
    source = sources.lookup(name)
    assert (source.counts, source.images, source.pixels, source.classes) == ((12, 6), 18, 20, 3)


def rule_of(path: Path) -> str:
    return own.facts(own.identify(path)).rule


def test_what_reading_changes_or_leaves_out_is_said(tmp_path):
    found = arrays()
    assert rule_of(npz(tmp_path, found)) == ""
    unused = {**found, "x_val": found["x_test"], "\x1b[2J": found["y_test"]}
    assert rule_of(npz(tmp_path, unused)) == r"not used: \x1b[2J, x_val"
    floats = {**found, "x_train": found["x_train"] / 255, "x_test": found["x_test"] / 255}
    assert rule_of(npz(tmp_path, floats)) == "values 0 to 1 become 0 to 255, rounded"
    assert "labels 1 to 3 become 0 to 2" in rule_of(idx(tmp_path / "idx", found, first=1))
    (tree(tmp_path / "tree", found) / "valid" / "a").mkdir(parents=True)
    assert rule_of(tmp_path / "tree").startswith("not used: valid; labels a to c become 0 to 2")
    rows = {k: v.reshape(len(v), -1) if k[0] == "x" else v for k, v in found.items()}
    assert "an image of one line" in rule_of(npz(tmp_path, rows))
    assert loaded(npz(tmp_path, rows)).shape == (1, 20)


def test_without_a_split_every_fifth_image_of_a_class_is_a_test_image(tmp_path):
    labels = np.random.default_rng(1).permutation(np.repeat([7, 30, -2], 11))
    images = np.arange(0, 231, 7, dtype=np.uint8)[:, None, None]
    seen: dict[int, int] = {}
    test = []
    for number, label in enumerate(labels.tolist()):
        seen[label] = seen.get(label, 0) + 1
        if seen[label] % 5 == 0:
            test.append(number)
    for keys in (("X", "y"), ("images", "labels")):
        found = loaded(npz(tmp_path, dict(zip(keys, (images, labels), strict=True))))
        assert found.test_images[:, 0].tolist() == [7 * i for i in test]
        assert found.train_images[:, 0].tolist() == [7 * i for i in range(33) if i not in test]
        order = {-2: 0, 7: 1, 30: 2}
        assert found.test_labels.tolist() == [order[labels[i]] for i in test]
    assert "every fifth image" in own.facts(found.name).rule
    for number, label in enumerate(labels):
        place = tmp_path / "tree" / str(label) / f"{number:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[number]).save(place)
    found = loaded(tmp_path / "tree")
    assert sorted(found.test_images[:, 0].tolist()) == sorted(7 * i for i in test)


@pytest.mark.parametrize(
    ("stored", "shape"),
    [((4, 5), (4, 5)), ((4, 5, 3), (3, 4, 5)), ((3, 4, 5), (3, 4, 5)), ((4, 5, 1), (4, 5)),
     ((1, 4, 5), (4, 5)), ((20,), (1, 20))],
)  # fmt: skip
def test_channels_come_first_and_one_channel_is_none(tmp_path, stored, shape):
    found = arrays(size=stored)
    mine = loaded(npz(tmp_path, found))
    assert mine.shape == shape
    first = found["x_train"]
    first = first.transpose(0, 3, 1, 2) if stored[-1] == 3 else first
    assert (mine.train_images.numpy() == first.reshape(12, -1)).all()


@pytest.mark.parametrize("kind", [np.uint8, np.int64, ">u2", np.float16, np.float32, np.float64])
def test_pixels_of_any_type_become_bytes(tmp_path, kind):
    found = arrays()
    change = 255 if np.dtype(kind).kind == "f" else 1
    stored = {k: (v / change).astype(kind) if k[0] == "x" else v for k, v in found.items()}
    mine = loaded(npz(tmp_path, stored))
    assert mine.train_images.dtype == load.load("digits").train_images.dtype
    assert (mine.train_images.numpy().reshape(12, 4, 5) == found["x_train"]).all()


def test_floats_are_rounded_in_parts_as_in_one(tmp_path, monkeypatch):
    monkeypatch.setattr("ffreport.data.own.PART", 33)  # one image and a bit
    values = np.random.default_rng(2).random((12, 4, 5))
    found = {**arrays(), "x_train": values, "x_test": values[:6]}
    got = loaded(npz(tmp_path, found)).train_images.numpy()
    assert (got == np.rint(values.reshape(12, -1) * 255)).all()


@pytest.mark.parametrize("labels", [["b", "a", "ü"], [b"b", b"a", "ü".encode()], [5, -1, 2**40],
                                    [True, False, True]])  # fmt: skip
def test_labels_become_numbers_in_sorted_order(tmp_path, labels):
    found = arrays()
    chosen = np.array(labels)
    wanted = np.unique(chosen, return_inverse=True)[1]
    mine = loaded(npz(tmp_path, {**found, "y_train": chosen[found["y_train"]],
                                 "y_test": chosen[found["y_test"]]}))  # fmt: skip
    assert mine.train_labels.tolist() == wanted[found["y_train"]].tolist()
    assert mine.classes == len(set(labels))


def test_images_are_rgb_where_one_is_and_hidden_files_are_passed_over(tmp_path):
    found = arrays()
    folder = tree(tmp_path / "tree", found)
    (folder / ".DS_Store").touch()
    (folder / "train" / "a" / ".hidden.png").write_bytes(b"no image")
    assert loaded(folder).shape == (4, 5)
    colour = np.dstack([found["x_train"][0]] * 3)
    colour[..., 1] = 9
    Image.fromarray(colour).save(folder / "train" / "a" / "00000.png")
    mine = loaded(folder)
    assert mine.shape == (3, 4, 5)
    planes = mine.train_images[0].reshape(3, 4, 5)
    assert (planes[1] == 9).all() and (planes[0].numpy() == found["x_train"][0]).all()
    grey = mine.train_images[1].reshape(3, 4, 5).numpy()
    assert (grey == found["x_train"][3]).all()
    Image.fromarray(colour).convert("RGBA").save(folder / "test" / "a" / "00000.png")
    assert rule_of(folder).startswith("labels")  # opaque as it is
    # A link to a file is that file; the folder's own name may be a link.
    (folder / "train" / "a" / "00000.png").rename(tmp_path / "kept.png")
    (folder / "train" / "a" / "00000.png").symlink_to(tmp_path / "kept.png")
    (tmp_path / "link").symlink_to(folder)
    assert own.identify(tmp_path / "link").startswith("link@")


# Scales


def scaled(white: int, kind: str = "uint8", part: str = "xy") -> Arrays:
    """Images whose values reach from 0 to ``white``, in training and test alike."""
    draw = np.random.default_rng(1)
    found = arrays(20, 10, 2)
    for key in ("x_train", "x_test"):
        found[key] = draw.integers(0, white + 1, found[key].shape).astype(kind)
        found[key].flat[:2] = 0, white
    return found


@pytest.mark.parametrize("kind", ["uint8", "int8", "int64", "uint16", ">i4"])
@pytest.mark.parametrize("white", [1, 3, 7, 15, 16])
def test_integers_of_a_plain_scale_are_as_the_same_images_in_floats(tmp_path, white, kind):
    integers = scaled(white, kind)
    floats = {k: v / white if k[0] == "x" else v for k, v in integers.items()}
    name = own.identify(npz(tmp_path, integers))
    assert name == own.identify(npz(tmp_path, floats))
    said = f"values 0 to {white} become 0 to 255, rounded"
    assert own.facts(own.identify(npz(tmp_path, integers))).rule == said
    assert said in load.check(name).detail and int(load.load(name).train_images.max()) == 255
    told: list[str] = []
    load.load(name, progress=told.append)  # as a command that trains does
    assert told == [f"{name}: {said}"]


def test_booleans_are_black_and_white(tmp_path):
    found = scaled(1)
    true = {k: v.astype(bool) if k[0] == "x" else v for k, v in found.items()}
    assert own.identify(npz(tmp_path, true)) == own.identify(npz(tmp_path, found))
    assert own.identify(idx(tmp_path / "idx" / "letters", found)) == own.identify(
        npz(tmp_path, found)
    )


@pytest.mark.parametrize("white", [2, 4, 9, 10, 12, 17, 31, 63, 64, 100, 127])
def test_integers_whose_white_is_not_plain_are_refused_with_the_choices(tmp_path, white):
    said = refused(npz(tmp_path, scaled(white)))
    assert f"integers from 0 to {white} as pixels" in said
    assert f"store floats, x / {white} where {white} is white, or x / 255 where 255 is" in said


@pytest.mark.parametrize("white", [128, 200, 254, 255])
def test_integers_of_more_than_half_a_byte_are_bytes(tmp_path, white):
    assert own.facts(own.identify(npz(tmp_path, scaled(white)))).rule == ""


@pytest.mark.parametrize(
    ("low", "high"), [(0, 65535), (0, 4095), (-128, 127), (-1, 1), (0.0, 255.0), (-1.0, 1.0),
                      (-0.42, 2.8), (0.0, 16.0)])  # fmt: skip
def test_other_scales_are_refused_with_what_to_store(tmp_path, low, high):
    found = arrays()
    for key in ("x_train", "x_test"):
        found[key] = np.where(found[key] < 128, low, high)
    said = refused(npz(tmp_path, found))
    assert f"has pixels from {low} to {high}; legal are" in said
    assert "store (x - black) / (white - black) as floats" in said


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("white", [0, 1, 16])
def test_parts_of_two_scales_are_refused(tmp_path, part, white):
    found = scaled(255)
    found[f"x_{part}"] = scaled(white)[f"x_{part}"] if white else found[f"x_{part}"] * 0
    ends = (white, 255) if part == "train" else (255, white)
    said = "up to {} in its training images and up to {} in its test images; store both on one"
    assert said.format(*ends) in refused(npz(tmp_path, found))
    floats = {k: v / 255 if k[0] == "x" else v for k, v in found.items()}
    assert "store both on one scale" in refused(npz(tmp_path, floats))


def test_an_image_file_may_be_dark_and_a_mask_is_black_and_white(tmp_path):
    assert rule_of(tree(tmp_path / "dark", scaled(90))).startswith("labels a to b")
    assert "values 0 to 1 become 0 to 255" in rule_of(tree(tmp_path / "mask", scaled(1)))


# Images that are all alike


@pytest.mark.parametrize("values", [(0, 0), (255, 255), (128, 140), (0, 0.0), (0.5, 0.55)])
def test_images_without_contrast_are_refused(tmp_path, values):
    found = arrays()
    for key in ("x_train", "x_test"):
        found[key] = np.where(found[key] < 128, *values)
        found[key] = found[key].astype(type(values[1]))
    assert "has training images without contrast" in refused(npz(tmp_path, found))


def test_images_each_of_one_value_are_refused_but_single_pixels_are_images(tmp_path):
    found = arrays()
    blank = {k: v[:, :1, :1].repeat(4, 1) if k[0] == "x" else v for k, v in found.items()}
    assert "each of one value alone" in refused(npz(tmp_path, blank))
    single = {k: v[:, :1, :1] if k[0] == "x" else v for k, v in found.items()}
    assert loaded(npz(tmp_path, single)).shape == (1, 1)


def test_images_that_are_the_same_in_every_class_are_refused(tmp_path):
    found = arrays()
    once = {**found, "x_train": found["x_train"][:1].repeat(12, 0)}
    assert "that are the same in several classes" in refused(npz(tmp_path, once))
    # Each class has the same two images.
    pair = {**found, "x_train": found["x_train"][np.arange(12) // 3 % 2]}
    assert "that are the same in several classes" in refused(npz(tmp_path, pair))
    pair["x_train"][0, 0, 0] ^= 1
    assert own.identify(npz(tmp_path, pair))


# What it is called


@pytest.mark.parametrize(
    ("file", "stem"),
    [("My Letters (2).npz", "my-letters-2"), ("ÄÖ--é.npz", "ao-e"), ("字.npz", "data"),
     ("x.v2.npz", "x-v2"), ("a" * 99 + ".npz", "a" * 40)],
)  # fmt: skip
def test_a_name_is_of_lower_case_letters_digits_and_hyphens(tmp_path, file, stem):
    npz(tmp_path).rename(tmp_path / file)
    name = own.identify(tmp_path / file)
    assert name.rpartition("@")[0] == stem and own.is_name(name)


def test_a_moved_file_keeps_its_name_and_a_changed_one_gets_another(tmp_path):
    path = npz(tmp_path)
    name = own.identify(path)
    (tmp_path / "elsewhere").mkdir()
    moved = path.rename(tmp_path / "elsewhere" / "letters.npz")
    assert own.identify(moved) == name and own.where(name) == moved
    found = arrays()
    names = {name}
    for key in found:
        changed = {k: v.copy() for k, v in found.items()}
        changed[key][0] = (changed[key][0] + 1) % 3
        names.add(own.identify(npz(tmp_path, changed)))
    names.add(own.identify(npz(tmp_path, {k: v.reshape(len(v), 5, 4) if k[0] == "x" else v
                                               for k, v in found.items()})))  # fmt: skip
    assert len(names) == 6


def test_the_old_name_of_a_changed_file_is_refused(tmp_path):
    path = npz(tmp_path)
    name = own.identify(path)
    found = arrays()
    found["x_train"][0, 0, 0] ^= 1
    npz(tmp_path, found)
    with pytest.raises(DataError, match=f"{name}: .*letters.npz has changed and is letters@"):
        load.load(name)


def test_a_data_set_is_read_once_in_a_process_while_its_files_are_the_same(tmp_path):
    folder = tree(tmp_path / "tree", arrays())
    name = own.identify(folder)
    first = own.load(name)
    assert own.load(own.identify(folder))[0] is first[0]
    place = folder / "train" / "a" / "00000.png"
    os.utime(place, ns=(1, 1))
    again = own.load(name)
    assert again[0] is not first[0] and (again[0] == first[0]).all()
    place.unlink()  # what a name stands for is known, wherever the files are
    assert sources.lookup(name).counts == (12, 6) and len(load.fingerprint(name)) == 64


def test_other_processes_inherit_where_a_data_set_lies(tmp_path):
    name = own.identify(npz(tmp_path))
    code = f"from ffreport.data import load; print(len(load.load({name!r}).train_images))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["12"], done.stderr
    assert json.loads(os.environ[own.VARIABLE]) == {name: str(tmp_path / "letters.npz")}


def test_a_name_whose_path_is_not_known_asks_for_the_path(monkeypatch):
    uses = (load.load, load.fingerprint, load.check)
    for use in (sources.lookup, *uses, sources.resolve):
        with pytest.raises(
            DataError, match="letters@12345678 is a data set of your own.*--dataset"
        ):
            use("letters@12345678")
    monkeypatch.setenv(own.VARIABLE, "[1]")
    with pytest.raises(ConfigError, match="FFCORE_OWN_DATA is no JSON object"):
        load.load("letters@12345678")


def test_names_and_paths_are_told_apart(tmp_path, monkeypatch):
    path = npz(tmp_path)
    name = own.identify(path)
    monkeypatch.chdir(tmp_path)
    tree(tmp_path / "plain", arrays())
    (tmp_path / "mnist").mkdir()
    assert sources.resolve("mnist") == "mnist" and sources.resolve(name) == name
    assert sources.resolve("letters.npz") == sources.resolve(str(path)) == name
    assert sources.resolve("letters.npz", tmp_path.parent / tmp_path.name) == name
    assert sources.resolve("plain").startswith("plain@")
    with pytest.raises(ConfigError, match="unknown data set 'mnits'; .* or the path of your own"):
        sources.resolve("mnits")
    with pytest.raises(DataError, match="there is no file or folder .*/nowhere.npz"):
        sources.resolve("nowhere.npz")


def test_check_tells_how_a_data_set_is_understood(tmp_path):
    found = {**arrays(), "y_train": np.array(list("xyz") * 4), "y_test": np.array(list("xyz") * 2)}
    told = load.check(own.identify(npz(tmp_path, found)))
    assert told.state == "ok" and told.where == tmp_path / "letters.npz"
    low, high = found["x_train"].min(), found["x_train"].max()
    assert told.detail.split("\n") == [
        "12 training and 6 test images",
        f"  of 4 x 5 numbers, {low} to {high} of 0 to 255",
        "  3 classes of 4 training images: x, y, z",
        "  labels x to z become 0 to 2 in sorted order",
    ]


# What is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": np.full((12, 4, 5), 256)}, "pixels from 2 to 256; legal are integers within"),
        ({"x_train": np.full((12, 4, 5), -1)}, "pixels from -1 to 249"),
        ({"x_train": np.full((12, 4, 5), np.nan), "x_test": np.zeros((6, 4, 5))}, "from nan"),
        ({"x_train": np.full((12, 4, 5), 1.5), "x_test": np.zeros((6, 4, 5))}, "0.0 to 1.5; legal"),
        ({"x_train": np.zeros((12, 4, 5))}, "images of float64 and test images of uint8"),
        ({"x_train": np.ones((12, 4, 5), bool)}, "up to 1 in its training images and up to 249"),
        ({"x_train": np.full((12, 4, 5), "a")}, "images of <U1; legal are integers and floats"),
        ({"x_train": np.zeros((12, 4, 5), complex), "x_test": np.zeros((6, 4, 5), complex)},
         "images of complex128"),
        ({"x_train": np.zeros((12, 4, 6), np.uint8)}, r"of shape \[4, 6\] and \[4, 5\]"),
        ({"x_train": np.zeros(12, np.uint8)}, r"images of shape \[12\]; legal are \[N, h, w\]"),
        ({"x_train": np.zeros((0, 4, 5), np.uint8), "y_train": np.zeros(0, int)}, r"\[0, 4, 5\]"),
        ({"x_train": np.zeros((12, 3, 5, 3), np.uint8)}, "either end may be its channels"),
        ({"x_train": np.zeros((12, 4, 5, 2), np.uint8)}, "neither end has 1 or 3 channels"),
        ({"x_train": np.uint8(1)}, r"images of shape \[\]"),
        ({"y_train": np.arange(11)}, r"12 images, and labels of shape \[11\]"),
        ({"y_train": np.int64(1)}, r"12 images, and labels of shape \[\]"),
        ({"y_train": np.eye(12)}, r"labels of shape \[12, 12\]; legal are \[N\]"),
        ({"y_train": np.arange(12.0)}, "labels of float64; legal are integers and strings"),
        ({"y_train": np.array(list("abc") * 4)}, "labels of different types"),
        ({"y_train": np.zeros(12, int)}, "has 1 class; legal are 2 to 1,000"),
        ({"y_train": np.arange(12) % 2}, "the test label 2, which no training image has"),
        ({"y_train": np.arange(12) % 4}, "no test image of class 3"),
        ({"y_train": np.array([None] * 12)}, "y_train of Python objects, which are not unpickled"),
        ({"x_train": np.zeros(12, [("a", "u1")])}, "images of shape"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_images_with_labels_are_refused(tmp_path, change, message):
    said = refused(npz(tmp_path, {**arrays(), **change}))
    assert said.startswith(str(tmp_path / "letters.npz")) and re.search(message, said), said


def test_a_class_with_fewer_than_five_images_cannot_be_split(tmp_path):
    found = {"X": arrays()["x_train"], "y": np.arange(12) // 8}
    assert "no test image of class 1; each class needs one of either kind" in refused(
        npz(tmp_path, found)
    )
    many = {"X": np.zeros((1001, 1, 1), np.uint8), "y": np.arange(1001)}
    assert "1001 classes; legal are 2 to 1,000" in refused(npz(tmp_path, many))


def forged(path: Path, header: bytes, body: bytes = b"", more: Arrays | None = None) -> Path:
    """An npz whose ``x_train`` has a header of one's own."""
    np.savez(path, **{k: v for k, v in (more or arrays()).items() if k != "x_train"})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        length = struct.pack("<H", len(header))
        archive.writestr("x_train.npy", b"\x93NUMPY\x01\x00" + length + header + body)
    return path


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776, 4, 5), }\n",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (-12, -4, 5), }\n",
        b"{'descr': '|S0', 'fortran_order': False, 'shape': (1099511627776,), }\n",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (12, 4, 5), }\n",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (12, 4, 5), }\n",
        b"{'descr': __import__('os').getcwd(), 'fortran_order': False, 'shape': (1,), }\n",
        b"no header",
    ],
)
def test_a_forged_header_is_refused_before_memory_is_taken(tmp_path, header):
    path = forged(tmp_path / "letters.npz", header, bytes(240))
    tracemalloc.start()
    try:
        said = refused(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
    assert "x_train" in said or "is no sound npz file" in said


def test_an_archive_that_claims_more_than_it_can_hold_is_refused(tmp_path):
    """Both the header and the archive's directory claim a terabyte that is not there."""
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (4294960000,), }\n"
    path = forged(tmp_path / "letters.npz", header, bytes(240))
    blob = bytearray(path.read_bytes())
    place = blob.rindex(b"x_train.npy") - 46
    size = 4294960000 + 10 + len(header)
    blob[place + 24 : place + 28] = struct.pack("<I", size)
    path.write_bytes(blob)
    assert "which is not what its" in refused(path)


def test_more_than_the_limit_is_refused_in_every_form(tmp_path, monkeypatch):
    monkeypatch.setattr("ffreport.data.formats.LIMIT", 200)
    found = arrays()
    for path in (npz(tmp_path, found), idx(tmp_path / "idx", found), tree(tmp_path / "t", found)):
        assert re.search(r"0\.0 GiB.*the limit is .* GiB", refused(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is no sound npz file"), (b"\x80\x04N.", "is no sound npz file: File is not a zip")],
)
def test_a_file_that_is_no_npz_is_refused_and_not_unpickled(tmp_path, content, message):
    (tmp_path / "letters.npz").write_bytes(content)
    assert message in refused(tmp_path / "letters.npz")
    (tmp_path / "letters.pkl").write_bytes(content)
    assert "it must be an .npz file; four IDX files" in refused(tmp_path / "letters.pkl")


def test_an_npz_that_is_cut_off_changed_or_of_other_keys_is_refused(tmp_path):
    path = npz(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "is no sound npz file" in refused(path)
    changed = bytearray(whole)
    changed[whole.index(b"x_train.npy") + 60] ^= 0xFF
    path.write_bytes(changed)
    assert "is no sound npz file" in refused(path)
    said = refused(npz(tmp_path, {"a\n": np.zeros(3), "y_train": np.zeros(3)}))
    assert r"holds a\n, y_train; it must hold x_train, y_train, x_test, y_test; " in said


def test_idx_files_that_lack_something_are_refused(tmp_path):
    found = arrays()
    folder = idx(tmp_path / "idx", found)
    images = folder / "train-images-idx3-ubyte"
    whole = images.read_bytes()
    for blob, message in (
        (whole[:-1], "is truncated: its header claims 240 bytes, 239 follow"),
        (whole + b"x", "is too long: its header claims 240 bytes, more follow"),
        (whole[:10], "is truncated in its header"),
        (b"\x00\x00\x0d\x03" + whole[4:], "it begins 00000d03, not 00000803"),
        (b"", "it begins with nothing, not 00000803"),
        (gzip.compress(whole)[:-4], "train-images-idx3-ubyte is a gzip file that is truncated"),
        (gzip.compress(whole[:-1]), "is truncated: its header claims 240 bytes, 239 follow"),
        (gzip.compress(whole + b"x"), "is too long: its header claims 240 bytes, more follow"),
        (gzip.compress(whole[:4] + b"\xff" * 12), "GiB; the limit is"),
        (b"\x1f\x8b" + bytes(20), "is a damaged gzip file: Unknown compression method"),
    ):
        images.write_bytes(blob)
        assert message in refused(folder), message
    images.unlink()
    assert "no train-images-idx3-ubyte (raw or .gz)" in refused(folder)
    idx(folder, found)
    idx(folder, found, "test")
    assert "test files under both names" in refused(folder)


def one_more(folder: Path) -> Path:
    return folder / "train" / "b" / "00099.png"


def truncated(folder: Path) -> None:
    one_more(folder).write_bytes((folder / "train" / "b" / "00001.png").read_bytes()[:60])


def link(folder: Path, target: str) -> None:
    one_more(folder).symlink_to(target)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated, "00099.png cannot be read as an image: "),
        (lambda f: one_more(f).write_bytes(b"GIF89a"), "00099.png is no PNG, JPEG or BMP image"),
        (lambda f: Image.new("L", (5, 5)).save(one_more(f)),
         "00099.png is 5 x 5 pixels, .*00000.png is 5 x 4; all images must be of one size"),
        (lambda f: Image.new("I;16", (5, 4)).save(one_more(f)), "00099.png has 16 bits a"),
        (lambda f: Image.new("L", (200, 200)).save(one_more(f)),
         r"00099.png cannot be read as an image: Image size \(40000 pixels\) exceeds limit"),
        (lambda f: (f / "train" / "b" / "notes.txt").touch(), r"notes.txt is no image; legal are"),
        (lambda f: (f / "notes.txt").touch(), "notes.txt is no folder of a class"),
        (lambda f: (f / "train" / "b" / "deeper").mkdir(), "deeper is a folder where images"),
        (lambda f: os.mkfifo(one_more(f)), "00099.png is no regular file"),
        (lambda f: link(f, "gone"), "00099.png is no regular file"),
        (lambda f: link(f, "00099.png"), "00099.png cannot be read: Too many levels"),
        (lambda f: (f / "train" / "c2").symlink_to(f / "train" / "c"), "c2 is the same folder"),
        (lambda f: (f / "train" / "empty").mkdir(), "empty holds no image"),
        (lambda f: (f / "extra").mkdir(), "extra lies beside train and test"),
        (lambda f: shutil.rmtree(f / "test"), "tree has no folder test"),
        (lambda f: (f / "train" / "a\x1b]0;b").mkdir(), r"a\\x1b\]0;b holds no image"),
    ],
)  # fmt: skip
def test_a_tree_with_anything_but_sound_images_is_refused(tmp_path, monkeypatch, damage, message):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30_000)
    folder = tree(tmp_path / "tree", arrays())
    assert own.identify(folder).startswith("tree@")
    damage(folder)
    said = refused(folder)
    assert re.search(message, said), said
    assert said.isprintable()


def test_an_empty_folder_is_no_data_set(tmp_path):
    (tmp_path / ".hidden").mkdir()
    assert "holds no folder of a class" in refused(tmp_path)


# What reports make of it

PROFILE = """
title: mine
paper_scale: true
rq1:
  - {datasets: [digits, ../letters.npz], configurations: [l2-sum-none-relu-sigmoid],
     settings: {epochs: 1, widths: [8, 8]}}
sparsity:
  - {dataset: ../letters.npz, width: 8, epochs: 1, images: 5,
     vary: {batch_classes: [1, 3, 5], images: [100, 7], batch_size: [512]}}
"""


def test_a_profile_names_data_by_a_path_relative_to_its_file(tmp_path):
    name = own.identify(npz(tmp_path))
    (tmp_path / "profiles").mkdir()
    path = tmp_path / "profiles" / "mine.yaml"
    path.write_text(PROFILE)
    profile = read_profile(str(path), root=ROOT)
    assert [e.dataset for e in profile.networks()] == ["digits", name]
    assert {e.dataset for e in profile.sparsity_runs()} == {name}
    assert not profile.paper_scale and str(tmp_path) not in profile.model_dump_json(
        exclude={"source"}
    )
    chosen = read_profile(str(path), {"dataset": str(tmp_path / "letters.npz")}, ROOT)
    assert chosen.changes == {"dataset": name} and f"--dataset {name}" in chosen.options
    assert [e.dataset for e in chosen.networks()] == [name]
    path.write_text(PROFILE.replace("../letters.npz", "letters@12345678"))
    with pytest.raises(DataError, match="where it lies is not known"):
        read_profile(str(path), root=ROOT)


def test_an_override_asks_for_no_more_classes_and_images_than_there_are(tmp_path):
    path = tmp_path / "mine.yaml"
    values = yaml.safe_load(PROFILE.replace("../letters.npz", "digits"))
    values["sparsity"][0]["images"] = 1000
    path.write_text(yaml.safe_dump(values))
    npz(tmp_path)
    runs = read_profile(str(path), {"dataset": str(tmp_path / "letters.npz")}, ROOT).sparsity_runs()
    assert [(e.images, e.batch_classes, e.batch_size) for e in runs[:-1]] == [
        (0, 0, 512), (0, 1, 512), (0, 3, 512)
    ]  # fmt: skip
    assert runs[-1].images == 7
    assert len(read_profile(str(path), {"dataset": "digits"}, ROOT).sparsity_runs()) == 6


def test_a_label_that_would_cover_the_image_is_refused_before_training(tmp_path):
    found = {k: v[:, :1, :3] if k[0] == "x" else v for k, v in arrays().items()}
    name = own.identify(npz(tmp_path, found))
    (tmp_path / "mine.yaml").write_text(PROFILE.replace("../letters.npz", name))
    runs = read_profile(str(tmp_path / "mine.yaml"), root=ROOT).sparsity_runs()
    with pytest.raises(
        ConfigError, match="label over the first 3 of 3 pixels, and nothing is left"
    ):
        planning.require_data(runs, None)


def test_nothing_is_published_of_it_and_that_is_the_verdict(tmp_path):
    name = own.identify(npz(tmp_path))
    profile = read_profile("paper", {"dataset": str(tmp_path / "letters.npz")}, ROOT)
    networks = profile.networks("rq1")
    assert {e.dataset for e in networks} == {name} and not profile.paper_scale
    assert not any(map(as_published, networks)) and not published.covers(name)
    assert all(map(published.covers, ("mnist", "mnist-5k", "digits", "cifar-10")))
    assert verdicts.in_band(90.0, float("nan"), float("nan")) == UNPUBLISHED
    assert profile.title.endswith(f"here on {name}")
