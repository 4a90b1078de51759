"""A value as anybody may see it: of a secret, what it is about and not what it is."""

import re
from typing import Final

from tai_autonomics.settings.forms import Address, Setting

MASK: Final = "***"
_CREDENTIALS: Final = re.compile(r"//[^/@]*@")
_OPTION: Final = re.compile(r"([?&])([a-z_]+)=([^&]*)")
_SHOWN_OPTIONS: Final = frozenset(
    (
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "passfile",
        "service",
        "application_name",
        "fallback_application_name",
        "client_encoding",
        "connect_timeout",
        "tcp_user_timeout",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "target_session_attrs",
        "require_auth",
        "channel_binding",
        "gssencmode",
        "krbsrvname",
        "sslmode",
        "sslnegotiation",
        "sslsni",
        "sslcert",
        "sslcertmode",
        "sslcrl",
        "sslkey",
        "sslrootcert",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
    )
)
"""Of a PostgreSQL URL. Any other may hold a secret, be it by a slip of the pen (`pasword=`)."""


def masked(value: object, setting: Setting) -> str:
    match value:
        case None:
            return "off" if setting.name == "TAI_METRICS_ADDRESS" else ""
        case Address(host, port):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case float():
            return f"{value:g}"
        case str() if setting.secret:
            return _OPTION.sub(_masked_option, _CREDENTIALS.sub(f"//{MASK}@", value))
        case _:
            return str(value)


def _masked_option(found: re.Match[str]) -> str:
    start, name, value = found.groups()
    return f"{start}{name}={value if name in _SHOWN_OPTIONS else MASK}"
