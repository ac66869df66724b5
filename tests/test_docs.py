"""The pages that are made from the code are as the code would make them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PAGES = ["configuration.md", "devices.md", "measurements.md"]


@pytest.mark.slow
def test_generated_pages_are_up_to_date(tmp_path: Path) -> None:
    """Whoever changes a setting, a profile or a measurement runs `make docs`."""
    script = tmp_path / "generate.py"
    script.write_text((DOCS / "generate.py").read_text())
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60, cwd=DOCS.parent
    )
    assert done.returncode == 0, done.stderr
    for page in PAGES:
        assert (tmp_path / page).read_text() == (DOCS / page).read_text(), f"docs/{page}: run `make docs`"
