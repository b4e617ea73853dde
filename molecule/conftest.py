"""Lets tests import the collection from the working tree and the harness from molecule/shared."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
for path in (HERE / "shared", HERE.parent / "collections"):
    sys.path.insert(0, str(path))
