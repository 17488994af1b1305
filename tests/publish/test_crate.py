"""A published version is an RO-Crate: by a validator that is not ours, offline."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from ffreport.publish import crate
from tests.publish.test_versions import executed, publish

ROOT = Path(__file__).parents[2]
CONTEXT = f"https://w3id.org/ro/crate/{crate.SPECIFICATION}/context"
INPUTS = {
    "data": {"mnist-5k": "ab" * 32, "digits": "cd" * 32},
    "reports": {"rq1": {"packages": {"numpy": "2.0", "torch": "2.11"}}},
}
EXTRA = {
    "command": "python pipeline.py all --profile quick",
    "seeds": [0, 1],
    "experiments": {"0123": "a network"},
}
# The validator fetches the context of the specification. A copy of it comes with rocrate (that of
# a later version, which holds the terms of the earlier ones); this puts it where the validator
# keeps what it has fetched.
FETCHED = """
import sys
from io import BytesIO
from pathlib import Path
from requests.adapters import HTTPAdapter
from requests_cache import CachedSession
from urllib3 import HTTPResponse

address, copy, cache = sys.argv[1:]

class Copy(HTTPAdapter):
    def send(self, request, **options):
        body, kind = BytesIO(Path(copy).read_bytes()), {"Content-Type": "application/ld+json"}
        return self.build_response(request, HTTPResponse(body, kind, 200, preload_content=False))

with CachedSession(cache, backend="sqlite", expire_after=-1) as session:
    session.mount("https://", Copy())
    session.get(address).raise_for_status()
"""
# What is recommended and would need a web address of the project or the name of a user.
NOT_RECORDED = {
    "The organization SHOULD have a URL.",
    "The Application SHOULD have a url",
    "The SoftwareApplication id SHOULD be an absolute URI",
    "The Action SHOULD have an agent that is a Person or Organization",
}
installed = pytest.mark.skipif(
    importlib.util.find_spec("rocrate_validator") is None,
    reason="needs roc-validator, of the extra `test`",
)


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """A published version, which tests leave as it is."""
    folder = tmp_path_factory.mktemp("published")
    first = executed(folder / "run")
    second = executed(folder / "run", "rq2", "Latents", "rq2_line")
    page = folder / "explorer.html"
    page.write_text("<!doctype html><html><body><main></main></body></html>")
    return publish(folder, [first, second], INPUTS, extra=EXTRA, pages={"Explorer": page})


@pytest.fixture
def copied(version, tmp_path):
    return shutil.copytree(version, tmp_path / version.name)


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    cache = tmp_path_factory.mktemp("fetched") / "cache"
    copy = str(files("rocrate") / "data/ro-crate.jsonld")
    subprocess.run([sys.executable, "-c", FETCHED, CONTEXT, copy, str(cache)], check=True)
    return cache


def read(folder):
    """The crate's entities by identifier."""
    content = json.loads((folder / crate.METADATA).read_text())
    return {entity["@id"]: entity for entity in content["@graph"]}


def problems(folder, fetched):
    """Severity and message of what the validator finds, by the profile of runs and its base."""
    found = folder.parent / "found.json"
    program = Path(sys.executable).with_name("rocrate-validator")
    done = subprocess.run(
        [program, "--no-interactive", "validate", "--offline", "--cache-path", fetched,
         "--profile-identifier", "process-run-crate-0.5", "--requirement-severity", "recommended",
         "--no-paging", "--output-format", "json", "--output-file", found, folder],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    issues = json.loads(found.read_text())["issues"]
    return {(issue["severity"], issue["message"]) for issue in issues}


@installed
def test_a_version_is_valid_and_lacks_nothing_recommended_that_we_know(version, fetched):
    assert problems(version, fetched) == {("RECOMMENDED", message) for message in NOT_RECORDED}


@installed
@pytest.mark.parametrize(
    ("entity", "lost", "message"),
    [
        ("./", "license", "The Root Data Entity MUST have a `license` property"),
        ("./", "datePublished", "The Root Data Entity MUST have a `datePublished` property"),
        ("#publication", "instrument", "The Action MUST have an instrument property"),
    ],
)
def test_a_crate_without_a_required_property_is_not_valid(copied, fetched, entity, lost, message):
    path = copied / crate.METADATA
    content = json.loads(path.read_text())
    (changed,) = [each for each in content["@graph"] if each["@id"] == entity]
    del changed[lost]
    path.write_text(json.dumps(content))
    required = [m for severity, m in problems(copied, fetched) if severity == "REQUIRED"]
    assert len(required) == 1 and required[0].startswith(message)


@installed
def test_a_file_that_is_not_there_makes_a_crate_invalid(copied, fetched):
    (copied / "rq1.html").unlink()
    assert any("rq1.html" in message for _, message in problems(copied, fetched))


def test_every_file_is_described_as_the_manifest_has_it(version):
    entities = read(version)
    manifest = json.loads((version / "manifest.json").read_text())
    described = {name for name, entity in entities.items() if entity["@type"] == "File"}
    assert described == {*manifest["files"], "manifest.json"}
    for name, facts in manifest["files"].items():
        assert entities[name]["sha256"] == facts["sha256"]
        assert entities[name]["contentSize"] == str(facts["bytes"])
    assert entities["figures/rq1_line.svg"]["encodingFormat"] == "image/svg+xml"
    assert entities["figures/rq1_line.svg"]["description"] == "A <line> & more"
    assert entities["tables/rq2_line_table.csv"]["description"] == "A table"
    assert entities["rq2.ipynb"]["name"] == "Latents"
    assert entities["explorer.html"]["name"] == "Explorer"
    assert {part["@id"] for part in entities["./"]["hasPart"]} == described


def test_the_action_says_which_command_made_the_files_from_which_data(version):
    entities = read(version)
    action = entities["#publication"]
    assert action["name"] == EXTRA["command"] and "seeds 0, 1" in action["description"]
    used = [entities[each["@id"]] for each in action["object"]]
    known = {each["name"]: each.get("identifier", each.get("value")) for each in used}
    assert known == {**INPUTS["data"], "profile": "quick", "seeds": "0,1"}
    assert action["result"] == entities["./"]["hasPart"]
    software = entities[action["instrument"]["@id"]]
    assert software["softwareRequirements"] == ["numpy 2.0", "torch 2.11"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert software["softwareVersion"] == citation["version"]


def test_authors_licence_and_papers_are_those_of_the_citation_file(version):
    entities, root = read(version), read(version)["./"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert [entities[root["author"]["@id"]]] == [
        {"@id": "#authors", "@type": "Organization", **author} for author in citation["authors"]
    ]
    assert root["license"]["@id"].endswith(f"/{citation['license']}")
    papers = [entities[each["@id"]] for each in root["citation"]]
    assert {(p["@id"], p["name"]) for p in papers} == {
        (reference["url"], reference["title"]) for reference in citation["references"]
    }
    assert entities["#ffcore"]["description"] == citation["title"]


def test_a_crate_is_sorted_has_no_float_and_names_no_path_of_the_machine(version):
    text = (version / crate.METADATA).read_text()
    content = json.loads(text, parse_float=lambda number: pytest.fail(f"a float: {number}"))
    names = [entity["@id"] for entity in content["@graph"]]
    assert names == sorted(names)
    assert not re.search(r'"(/|file:)', text) and str(version.parents[3]) not in text
