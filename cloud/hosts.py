"""`hosts.yml`, Ansible's inventory, as far as the town is concerned: each gateway is a host, and each such host one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from base import strict_yaml
from base.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from base.strict_yaml import Document, Path_

GROUP = "gateways"
MOST_LEVELS = 10


def check(file: Path, gateways: Collection[str]) -> None:
    """Compare the hosts of the group `gateways`, and of groups below it, with the town's gateways.

    Raises: ConfigError at the line that is wrong.
    """
    document = strict_yaml.load(file)
    groups = list(_groups(document, ()))
    members = _below(GROUP, groups)
    found = [path for path in groups if path[-1] in members]
    if GROUP not in {path[-1] for path in groups}:
        raise document.error(
            (), f"no group {GROUP!r}", f"`all: children: {GROUP}: hosts:` with a line for each gateway"
        )
    hosts: dict[str, Path_] = {}
    for path in found:
        hosts.update(dict.fromkeys(_mapping(document, (*path, "hosts")), (*path, "hosts")))
    for host, path in hosts.items():
        if host not in gateways:
            at = document.key_at(*path, host)
            raise ConfigError(at, f"the host {host!r}", f"the file gateways/{host}.yaml, or no such host")
    for gateway in sorted(gateways):
        if gateway not in hosts:
            expected = f"a line `{gateway}:`, as there is gateways/{gateway}.yaml"
            raise document.error((*found[0], "hosts"), f"no host {gateway!r}", expected)


def _below(top: str, groups: list[Path_]) -> set[str]:
    """Return a group and all groups below it; a group is its name, wherever the file writes of it."""
    names, waiting = {top}, [top]
    while waiting:
        parent = waiting.pop()
        new = {str(path[-1]) for path in groups if len(path) > 2 and path[-3] == parent} - names
        names |= new
        waiting += new
    return names


def _groups(document: Document, at: Path_, level: int = 0) -> Iterator[Path_]:
    """Yield the path of every group, those of `children` after their parent."""
    for name in _mapping(document, at):
        yield (*at, name)
        if level < MOST_LEVELS:
            _mapping(document, (*at, name))
            yield from _groups(document, (*at, name, "children"), level + 1)


def _mapping(document: Document, path: Path_) -> list[str]:
    """Return the keys at a path; none where nothing stands there."""
    value = document.lookup(path)
    if value is None and path:
        return []
    if not isinstance(value, dict):
        raise document.error(path, "no mapping", "a mapping (key: value), as Ansible has it")
    return list(value)
