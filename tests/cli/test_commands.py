"""The command line where no whole report is needed: messages, training, interruptions."""

import os
import re
import signal
from pathlib import Path

import pytest

from tests.support.commands import ROOT, interrupted, pipeline

NO_NETWORK = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"),
                           "http://127.0.0.1:9")  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["all", "--profil", "smoke"], "--profile"),
        (["al"], "No such command 'al'"),
        (["all", "--profile", "smok"], "unknown profile 'smok'; choose .* did you mean 'smoke'"),
        (["train", "--dataset", "mnits"], "unknown data set 'mnits'; .* did you mean 'mnist'"),
        (["train", "--norm", "l3"], "unknown norm 'l3'; choose"),
        (["figure", "rq1_mean"], "unknown figure 'rq1_mean'; .* did you mean 'rq1_means'"),
        (["report", "rq1"], "unknown report 'rq1'"),
        (["why", "rq1_accuracx"], "did you mean 'rq1_accuracy'"),
        (["train", "--seeds", "one"], "seeds 'one' are no list such as 0,1,2 or 0-9"),
        (["train", "--seeds", "0-999999999999999999999"], "names more than 100,000 seeds"),
        (["train", "--epochs", "0"], "epochs is 0"),
        (["train", "--precision", "fp64"], "choose fp32, tf32 or bf16"),
        (["data", "check", "mnits"], "unknown data set 'mnits'"),
    ],
)
def test_a_wrong_word_gets_one_clear_message_and_a_non_zero_exit(tmp_path, arguments, message):
    extra = ["--results", str(tmp_path)] if arguments[0] in ("train", "figure", "report") else []
    expected = 2 if arguments[0] == "al" or "--profil" in arguments else 1
    said = pipeline(*arguments, *extra, code=expected)
    assert re.search(message, said), said
    assert len(said.splitlines()) <= 4
    assert not list(tmp_path.glob("runs/*"))


def test_a_wrong_profile_file_names_the_key(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("title: x\nrq1: [{datasets: [digits], nrom: [l2]}]\nsparsity: []\n")
    said = pipeline("train", "--profile", path, "--results", tmp_path / "r", code=1)
    assert "unknown key 'rq1.0.nrom'; did you mean 'norm'" in said
    path.write_text("title: [")
    assert "not valid YAML" in pipeline("train", "--profile", path, code=1)


def test_a_profile_of_ones_own_makes_a_report(tmp_path):
    text = (ROOT / "profiles" / "smoke.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("epochs: 3", "epochs: 1"))
    where = ["--results", tmp_path / "results"]
    said = pipeline("train", "--profile", tmp_path / "mine.yaml", *where)
    assert said.count("epochs=1") >= 13
    said = pipeline("report", "rq1_accuracy", "--profile", tmp_path / "mine.yaml", *where)
    page = Path(re.search(r"^(/.*)index\.html$", said, re.M)[1]) / "rq1_accuracy.html"
    assert "mine profile · not paper scale" in page.read_text()
    assert str(tmp_path) not in (page.parent / "manifest.json").read_text()
    assert (tmp_path / "results" / "figures" / "rq1_means.png").exists()


def test_a_run_that_cannot_be_saved_ends_the_training_at_once(tmp_path):
    (tmp_path / "runs").write_text("in the way")
    said = pipeline("train", "--profile", "smoke", "--results", tmp_path, code=1)
    assert "cannot write the run" in said and "0 of 27 were trained" in said


def test_clean_leaves_a_folder_alone_that_it_did_not_make(tmp_path):
    (tmp_path / "work").mkdir()
    said = pipeline("clean", "--all", "--yes", "--results", tmp_path, code=1)
    assert "not made by this pipeline" in said and (tmp_path / "work").exists()


def test_a_report_without_runs_names_the_command_that_trains_them(tmp_path):
    said = pipeline("report", "--profile", "smoke", "--results", tmp_path, code=1)
    assert "python pipeline.py train --profile smoke" in said
    assert not (tmp_path / "reports").exists()


def test_a_missing_data_set_names_the_folder_and_the_command(tmp_path):
    said = pipeline("data", "check", "kmnist", code=1, env={**os.environ, "FFCORE_DATA": tmp_path})
    assert "kmnist" in said and "python pipeline.py data fetch kmnist" in said


@pytest.mark.parametrize("damage", ["truncated", "foreign"])
def test_a_damaged_data_file_is_named_and_nothing_is_trained(tmp_path, damage):
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for part, size in (("train-images-idx3", 100), ("train-labels-idx1", 50),
                       ("t10k-images-idx3", 100), ("t10k-labels-idx1", 50)):  # fmt: skip
        content = b"GIF89a not an IDX file" if damage == "foreign" else bytes([0, 0, 8, 3]) * size
        (folder / f"{part}-ubyte").write_bytes(content)
    said = pipeline(
        "train", "--profile", "smoke", "--dataset", "mnist", "--results", tmp_path / "results",
        code=1, env={**os.environ, "FFCORE_DATA": str(tmp_path / "data")},
    )  # fmt: skip
    assert "train-images-idx3-ubyte" in said
    assert not list((tmp_path / "results").glob("runs/[0-9a-f]*"))


def test_an_unwritable_results_folder_is_one_clear_message(tmp_path):
    (tmp_path / "file").write_text("in the way")
    said = pipeline("train", "--profile", "smoke", "--results", tmp_path / "file", code=1)
    assert "cannot write to the results folder" in said and "--results" in said


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_keeps_what_was_done_and_the_next_goes_on(tmp_path, sign):
    arguments = ["train", "--profile", "smoke", "--only", "rq1", "--epochs", "12",
                 "--results", tmp_path]  # fmt: skip
    runs = tmp_path / "runs"
    code, said = interrupted(arguments, lambda: any(runs.glob("[0-9a-f]*/run.json")), sign)
    assert code == 130 and "Traceback" not in said, said
    assert "are stored; run again to go on" in said
    kept = {p.parent.name: p.stat().st_mtime_ns for p in runs.glob("[0-9a-f]*/run.json")}
    assert kept and not list(runs.glob(".writing-*"))
    pipeline(*arguments)
    after = {p.parent.name: p.stat().st_mtime_ns for p in runs.glob("[0-9a-f]*/run.json")}
    assert kept.items() <= after.items() and len(after) == 13


def test_help_is_on_every_command():
    said = pipeline("--help")
    commands = (
        "all",
        "train",
        "report",
        "figure",
        "list",
        "runs",
        "status",
        "why",
        "clean",
        "data",
    )
    assert all(c in said for c in commands)
    for command in commands:
        assert "Usage" in pipeline(command, "--help")


def test_only_a_part_of_a_profile_is_trained(tmp_path):
    said = pipeline("train", "--profile", "smoke", "--only", "choices", "--results", tmp_path)
    assert "trained 4 in" in said
    pipeline("train", "--profile", "smoke", "--only", "polarty", "--results", tmp_path, code=1)
    said = pipeline("train", "--profile", "paper", "--only", "choices", "--dataset", "kmnist",
                    "--results", tmp_path, code=1)  # fmt: skip
    assert "has no choices" in said


def test_missing_data_is_said_before_anything_is_trained(tmp_path):
    profile = tmp_path / "two.yaml"
    profile.write_text("""
title: two data sets
rq1:
  - {datasets: [digits, cifar-10], configurations: [l2-sum-none-relu-sigmoid],
     settings: {epochs: 1, widths: [8, 8]}}
sparsity: [{dataset: digits, width: 8, epochs: 1}]
""")
    said = pipeline("train", "--profile", profile, "--results", tmp_path / "results", code=1,
                    env={**os.environ, "FFCORE_DATA": str(tmp_path / "none"), **NO_NETWORK},
                    )  # fmt: skip
    assert "cifar-10" in said and "--dataset with one of digits" in said
    assert not list((tmp_path / "results").glob("runs/[0-9a-f]*"))


def test_nothing_to_share_is_an_error(tmp_path):
    said = pipeline("share", "--results", tmp_path, "--into", tmp_path / "tables", code=1)
    assert "nothing is stored" in said and not (tmp_path / "tables").exists()
