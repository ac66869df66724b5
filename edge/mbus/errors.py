"""What can be wrong with an M-Bus telegram.

TelegramError (TransientError)   what came cannot be used; the next may be right
├── DamagedError                 no whole telegram, or one that contradicts itself
├── UnsupportedError             whole, but of a kind that is not read here
├── RefusedError                 the device itself says that it cannot answer
└── EncryptedError               whole, but its content cannot be read without the right key
"""

from __future__ import annotations

from base.errors import TransientError


class TelegramError(TransientError):
    """What came cannot be used."""


class DamagedError(TelegramError):
    """No whole telegram: cut short, mixed with another one, or disturbed on its way."""


class UnsupportedError(TelegramError):
    """A whole telegram of a kind that is not read here."""


class RefusedError(TelegramError):
    """The device says that it cannot answer, and why."""


class EncryptedError(TelegramError):
    """A whole telegram whose content is encrypted: without its key, or with the wrong one, nobody can read it."""
