"""What may be wrong with a message, by what its receiver must do."""

from __future__ import annotations

from base.errors import MessnetzError, PermanentError, TransientError


class BadMessageError(PermanentError):
    """The message can never be understood: a batch is rejected with this reason."""


class UnsupportedError(MessnetzError):
    """A newer version sent it: neither confirm nor reject, but report; a later release will read it."""


class DamagedError(TransientError):
    """It is not what was sent: neither confirm nor reject, but report; sent again it arrives whole."""
