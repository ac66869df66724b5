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


def context(cafile: str) -> ssl.SSLContext:
    """Make a context that judges certificates without the wall clock.

    CAs that had ended by the build date are left out. (Of intermediate certificates that the peer sends along, the end
    is not looked at: Python does not show them.)

    Raises: SSLError where no CA is left.
    """
    every = ssl.create_default_context(cafile=cafile)
    cas = zip(every.get_ca_certs(), every.get_ca_certs(binary_form=True), strict=True)
    valid = b"".join(der for ca, der in cas if ssl.cert_time_to_seconds(str(ca["notAfter"])) >= BUILT_AT_S)
    if not valid:
        raise ssl.SSLError("every CA had ended before this release was made")
    early = ssl.create_default_context(cadata=valid)
    early.verify_flags |= NO_CHECK_TIME
    early.sslsocket_class = _EarlySocket
    return early
