"""TLS on a machine whose clock is behind the day on which this release was made, and cannot be right.

It must connect before it can learn the time. So chain, host name and purpose of the peer's certificate are checked as
always, and of its validity what can be known: the true time is some time after the build date, so a certificate that
had ended by then is refused, and one that begins later is not.
"""

from __future__ import annotations

import ssl
import time

from base.build_date import BUILT_AT_MS

NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL (X509_VERIFY_PARAM_set_flags(3)), for which Python has no name."""
BUILT_AT_S = BUILT_AT_MS // 1000


class _EarlySocket(ssl.SSLSocket):
    """Looks at the peer's certificate when the handshake is done, before anything is sent."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - ssl's signature
        """Do it.

        Raises: SSLCertVerificationError where the certificate had ended before this release was made.
        """
        super().do_handshake(block)
        ends = (self.getpeercert() or {}).get("notAfter")
        if not isinstance(ends, str) or ssl.cert_time_to_seconds(ends) < BUILT_AT_S:
            raise ssl.SSLCertVerificationError(f"certificate verify failed: it ended on {ends}")


def is_needed() -> bool:
    """Whether the wall clock cannot be right."""
    return time.time() < BUILT_AT_S


def relax(context: ssl.SSLContext) -> None:
    """Let a context judge certificates without the wall clock; CAs that had ended by the build date are refused.

    Raises: SSLError where no CA is left.
    """
    context.verify_flags |= NO_CHECK_TIME
    context.sslsocket_class = _EarlySocket
    ends = [str(ca.get("notAfter", "")) for ca in context.get_ca_certs()]
    if not any(end and ssl.cert_time_to_seconds(end) >= BUILT_AT_S for end in ends):
        raise ssl.SSLError("every CA had ended before this release was made")
