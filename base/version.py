"""The version of Messnetz: `pyproject.toml` takes it from here.

Written down and not asked of `importlib.metadata`, which costs every start 40 ms and a megabyte.
"""

VERSION = "0.1.0"
