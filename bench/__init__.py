"""How fast, how small, side by side with peers: `python -m bench [NAME...] [--quick] [--json FILE]`.

Each bench is a module with `measure(scale) -> list[Row]`; `bench/__main__.py` lists them. Real servers come from
`tests/servers.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
if str(ROOT / "tests") not in sys.path:
    sys.path.append(str(ROOT / "tests"))
