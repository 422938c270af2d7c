"""Tell a client that used a wrong address which address is right.

The advice depends on the form of the request alone, so that it is the same for a registry or a
project that exists and for one that does not.
"""

from typing import Final

from pytp_broker.destinations import Destination
from pytp_broker.http import paths
from pytp_broker.http.messages import Request

_READING: Final = frozenset({"GET", "HEAD"})
_DISCOVERY_ADVICE: Final = (
    f"Discovery is at {{root}}{paths.WELL_KNOWN}?discover={{prefix}}{paths.LEGACY}"
)
_EXCHANGE_ADVICE: Final = (
    f"Clients ask for the audience at {{root}}{paths.AUDIENCE} and exchange identity tokens at "
    f"{{root}}{paths.MINT}, or at the same paths below {{root}}{{prefix}}"
)
_READ_EXCHANGE_ADVICE: Final = (
    f"Identity tokens are exchanged for read tokens at {{root}}{{prefix}}{paths.MINT_READ}"
)
_INTROSPECTION_ADVICE: Final = f"Indexes ask about tokens at {{root}}{{prefix}}{paths.INTROSPECT}"
_UPLOAD_ADVICE: Final = f"Upload URLs have the form {{root}}{{prefix}}{paths.LEGACY}"
_UPLOAD_API_ADVICE: Final = f"Publishing sessions begin at {{root}}{{prefix}}{paths.UPLOAD_ROOT}"
_INDEX_ADVICE: Final = f"Index URLs have the form {{root}}{{prefix}}{paths.PROJECTS}"
_RECEIPT_ADVICE: Final = "Receipts have the form " + paths.RECEIPT.url(
    "{root}{prefix}", project="PROJECT", version="VERSION", filename="FILE"
)
_PAGES_ADVICE: Final = f"Pages for people begin at {{root}}{{prefix}}{paths.HOME}"
_RECEIPT_KEYS_ADVICE: Final = f"The keys of receipts are at {{root}}{paths.RECEIPT_KEYS}"
# Path segments that show what the client meant, and the advice for it. The first one decides.
_ADVICE: Final = (
    (frozenset({"pytp-receipt-keys", "receipt-keys"}), _RECEIPT_KEYS_ADVICE),
    (frozenset({".well-known", "pytp", "discover"}), _DISCOVERY_ADVICE),
    (frozenset({"mint-read-token"}), _READ_EXCHANGE_ADVICE),
    (frozenset({"oidc", "audience", "mint-token", "burn-token"}), _EXCHANGE_ADVICE),
    (frozenset({"introspect", "verify"}), _INTROSPECTION_ADVICE),
    (frozenset({"legacy"}), _UPLOAD_ADVICE),
    (frozenset({"upload"}), f"{_UPLOAD_API_ADVICE}. {_UPLOAD_ADVICE}"),
)
_ADVICE_FOR_READERS: Final = (
    (frozenset({"simple", "files"}), _INDEX_ADVICE),
    (frozenset({"integrity"}), _RECEIPT_ADVICE),
    (frozenset({"project"}), _PAGES_ADVICE),
)


def advise(request: Request, destination: Destination) -> str:
    """Return a sentence that names the form of the address that the client seems to mean."""
    has_own_host = not destination.base_path and not destination.is_shared_root
    return _choose(request).format(
        root=f"{request.scheme}://{destination.host}", prefix="" if has_own_host else "/REGISTRY"
    )


def _choose(request: Request) -> str:
    segments = frozenset(request.path.lower().split("/"))
    is_reading = request.method in _READING
    known = (*_ADVICE, *_ADVICE_FOR_READERS) if is_reading else _ADVICE
    general = (
        f"{_INDEX_ADVICE}. {_UPLOAD_ADVICE}. {_PAGES_ADVICE}" if is_reading else _UPLOAD_ADVICE
    )
    return next((advice for words, advice in known if segments & words), general)
