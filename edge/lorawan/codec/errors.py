"""What goes wrong with codecs, by what the caller can do."""

from __future__ import annotations

from base.errors import PermanentError, TransientError


class CodecError(PermanentError):
    """A codec has no result for this message, and never will: it says so, it throws, loops, or gives nonsense."""


class NoWorkerError(TransientError):
    """No worker can be started now, so no codec runs; the message can be decoded later."""
