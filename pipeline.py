#!/usr/bin/env python
"""The command line: from nothing to a versioned report, or any single step of it."""

import sys
from pathlib import Path

from ffreport.cli.main import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
