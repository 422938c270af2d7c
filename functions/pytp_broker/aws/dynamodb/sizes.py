"""Check the size of DynamoDB's items, so that the operator hears of it before any write."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from pytp_broker.errors import StoreUnavailable
from pytp_broker.trust.publishers import TrustedPublisher

# DynamoDB's limit is 409,600 with the names of the attributes. We leave the difference to keys and
# pins.
MAX_ITEM_BYTES: Final = 400_000
# What a token's record holds, in bytes: for each publisher its id, its generation and punctuation;
# for each registry its name in three places; and everything else.
_BYTES_OF_PUBLISHER: Final = 32
_BYTES_OF_REGISTRY: Final = 256
_BYTES_BESIDES: Final = 16_000


def check_sizes(
    documents: Mapping[str, str],
    publishers: Iterable[tuple[TrustedPublisher, str]],
    trusted: Mapping[tuple[str, str], Collection[str]],
) -> None:
    """Check that every item of a configuration, and every token's, will fit.

    Raises StoreUnavailable, which names the first item that does not fit.
    """
    registries: dict[str, list[str]] = {}
    for name, document in documents.items():
        _check(f"the configuration of `{name}`", len(document))
    for publisher, document in publishers:
        _check(f"a publisher of the registry `{publisher.registry}`", len(document))
        registries.setdefault(publisher.identity_key, []).append(publisher.registry)
    for (registry, project), texts in trusted.items():
        place = f"{registry}/{project}" if project else registry
        trusting = f"the list of the {len(texts):,} publishers and readers that `{place}` trusts"
        _check(trusting, sum(map(len, texts)))
    for names in registries.values():
        _check(f"a token of an identity with {len(names):,} publishers", _size_of_token(names))


def _size_of_token(registries: list[str]) -> int:
    of_publishers = len(registries) * _BYTES_OF_PUBLISHER
    return of_publishers + len(set(registries)) * _BYTES_OF_REGISTRY + _BYTES_BESIDES


def _check(what: str, size: int) -> None:
    if size > MAX_ITEM_BYTES:
        raise StoreUnavailable(
            f"{what} would take {size:,} bytes, and an item of DynamoDB holds {MAX_ITEM_BYTES:,}: "
            "make it smaller, or divide it; nothing was changed"
        )
