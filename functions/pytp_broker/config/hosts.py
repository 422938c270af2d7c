"""Check hosts and audiences of registries: none may take what belongs to another.

The audience of an identity token decides which registry it opens. If one registry took the default
audience of another, a token that is meant for it would also open the other. No registry may take
the host that all registries share.
"""

from collections.abc import Iterator, Sequence

from pytp_broker.config.mistakes import Mistake
from pytp_broker.registries import Registry, default_audience


def find_shadows(registries: Sequence[Registry], shared_host: str | None) -> Iterator[Mistake]:
    """Yield every host and audience of a registry that belongs to somebody else.

    ``shared_host`` is the host that the registries share, if it is known.
    """
    defaults = _default_audiences(registries, shared_host)
    for i, registry in enumerate(registries):
        for j, host in enumerate(registry.hosts):
            if host == shared_host:
                yield Mistake(
                    ("registries", i, "hosts", j),
                    f"`{host}` is the host that all registries share, and no other registry would "
                    "be found there; name a host of its own",
                )
        owner = defaults.get(registry.audience or "")
        if owner is not None and owner is not registry:
            name = f"registry `{owner.name}`" if isinstance(owner, Registry) else owner
            yield Mistake(
                ("registries", i, "audience"),
                f"`{registry.audience}` is the default audience of {name}; choose another",
            )


def _default_audiences(
    registries: Sequence[Registry], shared_host: str | None
) -> dict[str, Registry | str]:
    """Return the audiences that hold without configuration, and who owns each."""
    found: dict[str, Registry | str] = {}
    if shared_host is not None:
        found[default_audience(shared_host)] = "the shared host"
    for registry in registries:
        if registry.audience is None and (registry.hosts or shared_host is not None):
            found.setdefault(registry.audience_on(shared_host or ""), registry)
    return found
