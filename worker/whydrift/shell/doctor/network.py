"""Whether somebody answers at an address, in words that tell names, routes, ports and certificates apart.

Belongs here: sockets and handshakes. Not here: what is spoken over them.
"""

import socket
import ssl
from urllib.parse import urlsplit


def unreachable(host: str, port: int, timeout_s: float, tls: ssl.SSLContext | None = None) -> str | None:
    """Why no connection can be made; None where it can. `tls`: with a handshake that checks the certificate."""
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            if tls is not None:
                tls.wrap_socket(connection, server_hostname=host).close()
    except socket.gaierror as error:
        return f"the name {host} is not known here ({error.strerror})"
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is refused: {error.verify_message}"
    except ssl.SSLError as error:
        return f"no TLS handshake: {error.reason or error}"
    except TimeoutError:
        return f"no answer within {timeout_s:g} s: a firewall or a network policy drops it, or the host is down"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def speaks_tls(host: str, port: int, timeout_s: float) -> bool:
    """Whether a handshake succeeds, whoever it is with."""
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    return unreachable(host, port, timeout_s, anybody) is None


def address_of(url: str) -> tuple[str, int]:
    """Host and port of an http(s) URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
