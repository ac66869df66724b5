"""Topics: built under a prefix, and taken apart again."""

from __future__ import annotations

import msgspec
import pytest

from wire.topics import KINDS, Prefix, Topic, Topics


@pytest.mark.parametrize("prefix", ["messnetz", "towns/musterstadt"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_topic_comes_back_as_it_was(prefix: str, kind: str) -> None:
    """Whatever the prefix."""
    topics = Topics(prefix)
    assert topics.of("gw-1", kind) == f"{prefix}/gw-1/{kind}"
    assert topics.read(topics.of("gw-1", kind)) == Topic("gw-1", kind)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "messnetz",
        "messnetz/gw-1",
        "messnetz/gw-1/batch/",
        "messnetz/gw-1/other",
        "messnetz/Gw-1/batch",
        "messnetz/gw-1\n/batch",
        "messnetz//batch",
        "messnetz/+/batch",
        "other/gw-1/batch",
        "other/messnetz/gw-1/batch",
        "/messnetz/gw-1/batch",
    ],
)
def test_a_foreign_topic_is_told_from_ours(topic: str) -> None:
    """It is nobody's batch."""
    assert Topics("messnetz").read(topic) is None


@pytest.mark.parametrize("prefix", ["", "/", "a/", "/a", "a//b", "a/+", "#", "a b", "a\n", "x" * 101])
def test_a_prefix_that_is_no_topic_is_refused(prefix: str) -> None:
    """Wildcards and empty levels would subscribe to what is not ours."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(prefix, Prefix)
