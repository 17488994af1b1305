"""ffcore trains where nothing is installed but what it needs."""

import subprocess
import sys

from tests.support.documents import ROOT

ALONE = """
import importlib.metadata as metadata, re, sys

def needed(name, found):
    key = re.sub("[-_.]+", "-", name).lower()
    if key not in found:
        found.add(key)
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            return
        for line in lines:
            if "extra ==" not in line:
                needed(re.match(r"[\\w.-]+", line)[0], found)

kept = set()
for name in ("torch", "numpy", "pydantic", "safetensors"):
    needed(name, kept)
owners = metadata.packages_distributions()
hidden = {module for module, names in owners.items()
          if not any(re.sub("[-_.]+", "-", n).lower() in kept for n in names)} - {"ffcore"}

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, *more):
        return None if name.partition(".")[0] in hidden else self.finder.find_spec(name, *more)

sys.meta_path[:] = map(Without, sys.meta_path)
assert {"pandas", "sklearn", "yaml", "papermill", "scipy", "ffreport"} <= hidden, hidden
import torch
from ffcore import train
from ffcore.config import make_experiment
from ffcore.data import Dataset

images = torch.randint(0, 256, (60, 16), dtype=torch.uint8)
labels = torch.arange(60) % 3
given = Dataset("given", images, labels, images, labels, 3, (1, 4, 4), "0" * 64)
e = make_experiment(dataset="given", widths=[8], epochs=1, batch_size=16, norm="l2",
                    aggregation="sum", inhibition="none", activation="relu", probability="sigmoid")
(result,) = train.train([e], given)
print(len(result.history), "pandas" in sys.modules)
"""


def test_ffcore_trains_with_torch_numpy_pydantic_and_safetensors_alone():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["1", "False"], done.stderr
