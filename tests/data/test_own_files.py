"""Where the files of a user's own lie: what is unmistakable is read, the rest is named."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from ffreport.data import own
from tests.data.test_own import (  # noqa: F401
    arrays,
    idx,
    loaded,
    nothing_known,
    npz,
    refused,
    rule_of,
    sorted_by_class,
    tree,
)

FOUND = sorted_by_class(arrays())
DOTS = {"train-images-idx3-ubyte": "train-images.idx3-ubyte",
        "train-labels-idx1-ubyte": "train-labels.idx1-ubyte",
        "t10k-images-idx3-ubyte": "t10k-images.idx3-ubyte",
        "t10k-labels-idx1-ubyte": "t10k-labels.idx1-ubyte"}  # fmt: skip
EXPECTED = "images lie in train/<class>/ and test/<class>/, or in <class>/ without a split"


def content(path: Path) -> str:
    """What a data set's name says of its content."""
    return own.identify(path).rpartition("@")[2]


def renamed(folder: Path, names: dict[str, str]) -> Path:
    for old, new in names.items():
        (folder / new).parent.mkdir(parents=True, exist_ok=True)
        (folder / old).rename(folder / new)
    return folder


def kmnist(folder: Path, name: str = "kmnist") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        np.savez_compressed(folder / f"{name}-{part}-imgs.npz", FOUND[f"x_{part}"])
        np.savez_compressed(folder / f"{name}-{part}-labels.npz", FOUND[f"y_{part}"])
    return folder


def torchvision(folder: Path) -> Path:
    idx(folder / "MNIST" / "raw", FOUND)
    idx(folder / "MNIST" / "raw", FOUND, zipped=True)
    return folder


def archive(folder: Path) -> Path:
    tree(folder / "archive", FOUND)
    (folder / "__MACOSX" / "archive").mkdir(parents=True)
    return folder


LAYOUTS = {
    "dots": (lambda f: renamed(idx(f, FOUND), DOTS), ""),
    "dots of train alone": (
        lambda f: renamed(idx(f, FOUND), dict(list(DOTS.items())[:2])), ""),
    "dots before the end": (
        lambda f: renamed(idx(f, FOUND), {k: k.replace("-ubyte", ".ubyte") for k in DOTS}), ""),
    "dots, packed": (lambda f: renamed(
        idx(f, FOUND, zipped=True), {f"{k}.gz": f"{v}.gz" for k, v in DOTS.items()}), ""),
    "each in a folder of its name": (
        lambda f: renamed(idx(f, FOUND), {k: f"x/{k}/{k}" for k in DOTS}) / "x", ""),
    "torchvision": (torchvision, "read from MNIST/raw"),
    "torchvision, inside": (lambda f: torchvision(f) / "MNIST", "read from raw"),
    "torchvision of old": (
        lambda f: (torchvision(f) / "MNIST" / "processed").mkdir() or f, "read from MNIST/raw"),
    "KMNIST's": (kmnist, ""),
    "KMNIST's, as another": (lambda f: kmnist(f, "k49"), ""),
    "archive": (archive, "read from archive"),
    "Train and Test": (
        lambda f: renamed(tree(f, FOUND), {"train": "Train", "test": "TEST"}), ""),
    "training and testing": (
        lambda f: renamed(tree(f, FOUND), {"train": "training", "test": "Testing"}), ""),
    "val": (lambda f: renamed(tree(f, FOUND), {"test": "val"}), "val is taken as the test images"),
    "Validation": (lambda f: renamed(tree(f, FOUND), {"train": "Training", "test": "Validation"}),
                   "Validation is taken as the test images"),
}  # fmt: skip


@pytest.mark.parametrize("kind", LAYOUTS)
def test_usual_layouts_are_read_and_what_was_decided_is_said(tmp_path, kind):
    make, said = LAYOUTS[kind]
    place = make(tmp_path / "set")
    assert content(place) == content(npz(tmp_path, FOUND))
    assert said in rule_of(place)


def test_a_val_beside_a_test_is_not_used(tmp_path):
    folder = tree(tmp_path / "set", FOUND)
    shutil.copytree(folder / "train", folder / "Val")
    assert content(folder) == content(npz(tmp_path, FOUND))
    assert rule_of(folder).startswith("not used: Val")


def flat(folder: Path, *parts: str) -> Path:
    whole = tree(folder.with_name("whole"), FOUND)
    for part, source in zip(parts, ("train", "test", "test"), strict=False):
        (folder / part).mkdir(parents=True)
        for number, place in enumerate(sorted((whole / source).glob("*/*.png"))):
            shutil.copy(place, folder / part / f"{number}.png")
    return folder


@pytest.mark.parametrize("parts", [("train", "test"), ("Train", "Test"), ("training", "val"),
                                   ("train", "val", "test"), ("test", "val")])  # fmt: skip
def test_parts_of_a_split_are_no_classes(tmp_path, parts):
    said = refused(flat(tmp_path / "set", *parts))
    assert "files and no folder of a class" in said and EXPECTED in said


def test_a_part_without_classes_is_named_though_the_other_has_them(tmp_path):
    folder = flat(tmp_path / "set", "train", "test")
    shutil.rmtree(folder / "train")
    shutil.copytree(tmp_path / "whole" / "train", folder / "train")
    assert "set/test holds 6 files and no folder of a class" in refused(folder)
    (folder / "unlabelled").mkdir()
    assert "unlabelled lies beside train and test" in refused(folder)


def test_a_class_may_be_called_train(tmp_path):
    whole = tree(tmp_path / "whole", FOUND)
    for label, name in zip("abc", ("car", "plane", "train"), strict=True):
        shutil.copytree(whole / "train" / label, tmp_path / "set" / name)
        for place in (whole / "test" / label).iterdir():
            shutil.copy(place, tmp_path / "set" / name / f"more-{place.name}")
    assert own.facts(own.identify(tmp_path / "set")).classes == ("car", "plane", "train")


def test_two_names_of_one_part_are_refused(tmp_path):
    folder = tree(tmp_path / "set", FOUND)
    shutil.copytree(folder / "train", folder / "training")
    assert "has train and training; leave one of them" in refused(folder)
    both = kmnist(tmp_path / "npz")
    kmnist(both, "k49")
    assert "k49-test-imgs.npz and kmnist-test-imgs.npz; leave the files of one" in refused(both)


def test_what_lacks_or_is_none_of_the_forms_names_what_is_there_and_what_is_expected(tmp_path):
    dots = renamed(idx(tmp_path / "idx", FOUND), DOTS)
    (dots / "train-labels.idx1-ubyte").unlink()
    said = refused(dots)
    assert "has t10k-images.idx3-ubyte, t10k-labels.idx1-ubyte, train-images.idx3-ubyte" in said
    assert "but no train-labels-idx1-ubyte (raw or .gz)" in said
    pair = kmnist(tmp_path / "npz")
    (pair / "kmnist-test-imgs.npz").unlink()
    assert "but no test-imgs.npz" in refused(pair)
    assert "holds arr_0; it must hold x_train" in refused(pair / "kmnist-train-imgs.npz")
    odd = renamed(tree(tmp_path / "odd", FOUND), {"train": "seg_train", "test": "seg_test"})
    said = refused(odd)
    assert "seg_test/a is a folder where images of one class should be" in said and EXPECTED in said
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "train.csv").touch()
    said = refused(tmp_path / "table")
    assert "train.csv is no folder of a class; expected is an .npz file; four IDX files" in said
    assert "under KMNIST's" in said and EXPECTED in said


def test_folders_of_classes_may_be_links(tmp_path):
    folder = tree(tmp_path / "set", FOUND)
    (tmp_path / "elsewhere").mkdir()
    for number, place in enumerate([folder / "train" / "b", folder / "test"]):
        place.rename(tmp_path / "elsewhere" / str(number))
        place.symlink_to(tmp_path / "elsewhere" / str(number))
    assert content(folder) == content(npz(tmp_path, FOUND))
    (folder / "train" / "again").symlink_to(folder)
    assert "is a folder where images of one class should be" in refused(folder)
    (folder / "train" / "again").unlink()
    (folder / "train" / "again").symlink_to(folder / "train" / "again")
    assert "Too many levels of symbolic links" in refused(folder)
    (tmp_path / "ring" / "in").mkdir(parents=True)
    (tmp_path / "ring" / "in" / "on").symlink_to(tmp_path / "ring")
    assert "is a folder where images of one class should be" in refused(tmp_path / "ring")


def test_names_are_the_same_in_composed_and_in_decomposed_characters(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    folder = renamed(tree(tmp_path / "set", FOUND, names="ab\u00e9"),
                     {f"test/{composed}": f"test/{decomposed}"})  # fmt: skip
    assert content(folder) == content(npz(tmp_path, FOUND))
    shutil.copytree(folder / "test" / decomposed, folder / "test" / composed)
    assert "is there twice, in composed and in decomposed characters" in refused(folder)
    names = {part: np.array(["a", "b", text])[FOUND[f"y_{part}"]]
             for part, text in (("train", decomposed), ("test", composed))}  # fmt: skip
    words = {**FOUND, "y_train": names["train"], "y_test": names["test"]}
    assert loaded(npz(tmp_path, words)).test_labels.tolist() == FOUND["y_test"].tolist()
