"""Build the sdist and the wheel, and use them as someone without a checkout does, in a fresh
environment with the newest or the oldest supported versions: ``python -m tests.rigs.environments``.

``--print-oldest`` only prints the oldest versions, which are the lower bounds of pyproject.toml, as
constraints for pip.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.rigs.twice import PROFILE, REPORTS, ROOT
from tests.support.measured import VARIABLE, note

# Quick ones that reach every dependency.
QUICK = (
    "analysis/appendix/choices", "analysis/appendix/propositions", "analysis/appendix/shares",
    "analysis/rq1/accuracy", "analysis/rq1/audit", "analysis/rq1/contrasts",
    "analysis/rq1/convergence", "analysis/rq1/figures/grid", "analysis/rq1/words",
    "analysis/rq2/explorer/page", "analysis/rq2/measures", "analysis/rq2/structures",
    "analysis/rq2/topology/distances", "analysis/rq2/topology/figures",
    "analysis/rq2/topology/homology", "analysis/rq2/topology/matching",
    "analysis/sparsity/geometry", "analysis/stats", "compute/pool", "data/own",
    "ffcore/checkpoints", "ffcore/config", "ffcore/data", "ffcore/goodness", "ffcore/labels",
    "ffcore/train", "publish/crate", "publish/notebooks/notebook", "publish/output",
    "publish/trace", "publish/versions", "runs/results", "runs/store", "whole/environments",
    "whole/hostile",
)  # fmt: skip
SHOWN = ("torch", "numpy", "pandas", "pyarrow", "scipy", "scikit-learn", "matplotlib", "pydantic",
         "typer", "nbconvert", "pytest")  # fmt: skip
VERSIONS = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]), sep='\\n')"
OPENED = "from ffreport.study.study import Study; print(Study('smoke').store.results.resolve())"
WHERE = "import ffcore; print(ffcore.__file__)"


def quick() -> list[Path]:
    """The files of the quick tests."""
    split = [name.rpartition("/") for name in QUICK]
    return [ROOT / "tests" / folder / f"test_{name}.py" for folder, _, name in split]


def requirements() -> dict[str, str]:
    """Name → specifier of everything that the program and its tests need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    split = [re.fullmatch(r"([\w.-]+)(.*)", line) for line in lines]
    return {found[1]: found[2] for found in split if found}


def oldest(leave: Sequence[str] = ()) -> list[str]:
    """``name==version`` with the lower bound of each requirement but those named."""
    bounds = {n: re.search(r">=([\w.]+)", s) for n, s in requirements().items() if n not in leave}
    assert all(bounds.values()), f"no lower bound: {[n for n, b in bounds.items() if not b]}"
    return [f"{name}=={bound[1]}" for name, bound in bounds.items() if bound]


def run(*command: str | Path, show: bool = False, **options) -> str:
    """What a command printed; ends the script where it fails."""
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        encoding="utf-8", errors="replace", **options,
    )  # fmt: skip
    said = []
    for line in process.stdout or ():
        said.append(line)
        if show:
            print(line, end="", flush=True)
    text = "".join(said)
    if process.wait() or "Traceback" in text:
        sys.exit(f"{'' if show else text}\nfailed: {' '.join(map(str, command))}")
    return text


def project_files() -> list[str]:
    """What git has, or would take, of the project."""
    listed = run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


def built(folder: Path) -> tuple[Path, Path]:
    """The sdist, and the wheel made from it; nothing of the project is lost in the sdist."""
    source = folder / "source"
    for name in project_files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    run(sys.executable, "-m", "venv", folder / "tools")
    run(folder / "tools/bin/pip", "install", "-q", "build")
    run(folder / "tools/bin/python", "-m", "build", "-o", folder / "dist", source)
    (sdist,), (wheel,) = (list((folder / "dist").glob(end)) for end in ("*.tar.gz", "*.whl"))
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(folder, filter="data")
    if lost := sorted({*project_files()} - inside):
        sys.exit(f"the sdist lacks {', '.join(lost)}; see MANIFEST.in")
    return sdist, wheel


def published(folder: Path, *command: str | Path, environment: dict[str, str]) -> str:
    """Train and report a small profile from a folder; the name of the version."""
    folder.mkdir(exist_ok=True)
    (folder / "twice.yaml").write_text(PROFILE)
    said = {}
    for word, *words in (["list"], ["train"], ["report", *REPORTS], ["status"]):
        said[word] = run(*command, word, *words, "--profile", "twice.yaml", cwd=folder,
                         env=environment)  # fmt: skip
    (name,) = re.findall(r"^results/reports/(\S+)/index\.html$", said["report"], re.M)
    run(*command, "verify", "--report", name, cwd=folder, env=environment)
    for path in (folder / "results/reports" / name).glob("*.ipynb"):
        outputs = [o for c in json.loads(path.read_text())["cells"] for o in c.get("outputs", ())]
        warned = ["".join(o["text"]) for o in outputs if o.get("name") == "stderr"]
        assert not warned, f"{path.name} warns: {warned[0]}"
    return name


def readme_example() -> str:
    """The README's code for the library."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = [b for b in re.findall(r"```python\n(.*?)```", readme, re.S) if "FFClassifier" in b]
    return code


def outside(scripts: Path, folder: Path, environment: dict[str, str]) -> str:
    """Use what is installed, from a folder of its own; the name of the published version."""
    folder.mkdir()
    where = run(scripts / "python", "-c", WHERE, cwd=folder, env=environment).strip()
    assert "site-packages" in where, f"ffcore came from {where}"
    run(scripts / "python", "-c", readme_example(), cwd=folder, env=environment)
    name = published(folder, scripts / "ffcore", environment=environment)
    # A published notebook that is opened where it lies finds the results around it.
    found = run(scripts / "python", "-c", OPENED, cwd=folder / "results/reports" / name,
                env=environment)  # fmt: skip
    assert Path(found.strip()) == folder.resolve() / "results", found
    return name


def checked(python: Path, environment: dict[str, str], strict: bool) -> str:
    """What ``pip check`` says; problems end the script unless the environment is someone's own."""
    done = subprocess.run([str(python), "-m", "pip", "check"], capture_output=True, text=True,
                          env=environment)  # fmt: skip
    lines = done.stdout.strip().splitlines()
    if done.returncode and strict:
        sys.exit(f"pip check: {done.stdout}")
    lacking = [line.split(" requires ")[1].split(",")[0] for line in lines if " requires " in line]
    return f"not installed or other: {', '.join(lacking)}" if done.returncode else "clean"


def files_of(record: Path) -> Iterator[str]:
    return (
        line
        for line in record.read_text().splitlines()
        if line.startswith(("ffcore/", "ffreport/"))
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.rigs.environments", description=__doc__)
    parser.add_argument("--print-oldest", action="store_true")
    parser.add_argument("--versions", choices=("newest", "oldest"), default="newest")
    parser.add_argument("--leave", nargs="*", default=[], metavar="NAME",
                        help="requirements whose oldest version is not asked for")  # fmt: skip
    parser.add_argument("--environment", type=Path, metavar="FOLDER",
                        help="an environment of your own, used as it is")  # fmt: skip
    parser.add_argument("--tests", choices=("none", "quick", "all"), default="none")
    chosen = parser.parse_args()
    if unknown := {*chosen.leave} - {*requirements()}:
        parser.error(f"pyproject.toml requires no {', '.join(sorted(unknown))}")
    if chosen.print_oldest:
        print("\n".join(oldest(chosen.leave)))
        return
    with tempfile.TemporaryDirectory() as name:
        tried(Path(name), chosen)


def tried(folder: Path, chosen: argparse.Namespace) -> None:
    """One environment, from building to a row of the page."""
    hidden = ("PYTHONPATH", "FFCORE_DATA", "VIRTUAL_ENV", "JUPYTER_PATH", VARIABLE)
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    sdist, wheel = built(folder)
    print(f"built {sdist.name} and {wheel.name}", flush=True)
    python = (chosen.environment or folder / "environment").absolute() / "bin/python"
    if chosen.environment:
        run(python, "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", wheel)
    else:
        run(sys.executable, "-m", "venv", folder / "environment")
        constraints = folder / "constraints.txt"
        asked = oldest(chosen.leave) if chosen.versions == "oldest" else []
        constraints.write_text("\n".join(asked))
        run(python, "-m", "pip", "install", "-q", "-c", constraints, f"{wheel}[test]")
    pip = checked(python, environment, strict=not chosen.environment)
    name = outside(python.parent, folder / "elsewhere", environment)
    print(f"pip check: {pip}; the wheel published {name}", flush=True)

    (record,) = python.parent.parent.glob("lib/python*/site-packages/ffcore-*.dist-info/RECORD")
    of_wheel = [*files_of(record)]
    run(python, "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", sdist)
    assert [*files_of(record)] == of_wheel, "the sdist installs other files than the wheel"
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    pipeline = unpacked / "pipeline.py"
    again = published(folder / "third", python, pipeline, environment=environment)
    assert again == name, f"the wheel published {name}, the unpacked sdist {again}"
    print("the sdist installs the same files, and publishes the same", flush=True)

    summary = "no tests run"
    if chosen.tests != "none":
        files = [p.relative_to(ROOT) for p in quick()] if chosen.tests == "quick" else []
        data = {k: v for k, v in os.environ.items() if k == "FFCORE_DATA"}
        said = run(python, "-m", "pytest", *files, show=True, cwd=unpacked,
                   env={**environment, **data})  # fmt: skip
        (summary,) = re.findall(r"^=*\s?(\d+ passed.*?)\s?=*$", said, re.M)[-1:]
    versions = run(python, "-c", VERSIONS, *SHOWN).split()
    release = run(python, "-c", "import platform; print(platform.python_version())").strip()
    short = ".".join(release.split(".")[:2])
    words = ["FOLDER" if w == str(chosen.environment) else w for w in sys.argv[1:]]
    note(
        f"environments/{chosen.versions}-python{short}-torch{versions[0]}",
        "Sdist and wheel are built, installed into an environment "
        + ("of one's own" if chosen.environment else "made for it")
        + f" ({chosen.versions} supported versions), and used outside of the checkout: the "
        "README's code for the library, a small report, its results found from inside of it; the "
        "unpacked sdist publishes the same version. Then tests",
        f"Python {release}; {', '.join(map(' '.join, zip(SHOWN, versions, strict=True)))}; pip "
        f"check: {pip}; tests ({chosen.tests}): {re.sub(r' in .*', '', summary)}",
        " ".join(["python -m tests.rigs.environments", *words]),
    )
    print(summary)


if __name__ == "__main__":
    main()
