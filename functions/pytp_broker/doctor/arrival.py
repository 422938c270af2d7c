"""Come to a broker: connect to its host, open its store, and describe its stack, as far as we can.

What cannot be opened is a finding, and the checks that need it are left out.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytp_broker.client.transport import authorities
from pytp_broker.doctor.checks import Entrance, Need
from pytp_broker.doctor.findings import Finding, Flaw, NotCheckedError, Outcome, well
from pytp_broker.doctor.folder import may_be_opened
from pytp_broker.doctor.outside import REACH, UNREACHABLE, reach
from pytp_broker.doctor.visit import Visit
from pytp_broker.doctor.web import BadUrlError, NoAnswerError, Web, default_authorities
from pytp_broker.errors import StoreUnavailable
from pytp_broker.local.lock import last_holder
from pytp_broker.redaction import printable
from pytp_broker.storage.data_folder import DATABASE, has_database
from pytp_broker.storage.plan import Setup

if TYPE_CHECKING:
    from pytp_broker.aws.deployments import Address
    from pytp_broker.config import Loaded
    from pytp_broker.doctor.cloud import Cloud
    from pytp_broker.storage.protocols import Store

STORE_UNREACHABLE: Final = Flaw(
    "store-unreachable",
    "check the name, the region and the credentials: aws sts get-caller-identity says who you are",
)
STORE_REFUSED: Final = Flaw(
    "store-refused", "name the broker's own stack, or its output `Table`: this is another table"
)
TABLE_NEWER: Final = Flaw(
    "table-newer", "use the pytp-broker that has written the table, or a later one"
)
STORE: Final = Entrance(
    "store",
    "Can the records of the broker be read?",
    (STORE_UNREACHABLE, STORE_REFUSED, TABLE_NEWER),
)
# What `aws.dynamodb.broker_table` says of a table that is not a broker's, or of a later version.
_REFUSALS: Final = {
    "is not a broker's": STORE_REFUSED,
    "this version cannot use the table": TABLE_NEWER,
}

_Connect = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the operator has named: at least one of a URL, a data folder and an address on AWS."""

    url: str | None = None
    ca_file: str | None = None
    connect: _Connect | None = None
    data: Path | None = None
    address: "Address | None" = None
    loaded: "Loaded | None" = None
    thorough: bool = False


@dataclass(slots=True)
class _Arrival:
    """A visit while it is put together, and what was found on the way."""

    visit: Visit
    findings: list[Finding] = field(default_factory=list)

    def tell(self, finding: Finding, entrance: Entrance) -> None:
        self.findings.append(finding.named(entrance.name, self.visit.names))


@contextmanager
def arrived(asked: Asked) -> Iterator[tuple[Visit, Sequence[Finding]]]:
    """Give what can be looked at, and what was found on the way there; raise BadUrlError."""
    arrival = _Arrival(Visit(loaded=asked.loaded, thorough=asked.thorough, names=_names(asked)))
    if asked.data is not None:
        with _at_folder(asked.data, arrival):
            _go_outside(asked, arrival)
            yield arrival.visit, arrival.findings
        return
    if asked.address is not None:
        _go_to_aws(asked.address, arrival)
    _go_outside(asked, arrival)
    yield arrival.visit, arrival.findings


def _names(asked: Asked) -> dict[str, str]:
    names = {"target": "--data DIR, or --stack NAME"}
    if asked.data is not None:
        names |= {"target": f"--data {asked.data}", "data": str(asked.data)}
    elif asked.address is not None and asked.address.stack:
        names |= {"target": f"--stack {asked.address.stack}", "stack": asked.address.stack}
    elif asked.address is not None and asked.address.table:
        names |= {"target": f"--table {asked.address.table}"}
    return names


@contextmanager
def _at_folder(data: Path, arrival: _Arrival) -> Iterator[None]:
    """Open the store of a data folder, unless that would change it."""
    arrival.visit = replace(arrival.visit, folder=data, has_database=has_database(data))
    if not may_be_opened(data / DATABASE):
        _close(arrival, f"this version cannot read {data / DATABASE} without changing it")
        yield
        return
    from pytp_broker.storage.sqlite import SqliteStore

    try:
        store = SqliteStore(data / DATABASE)
    except StoreUnavailable as problem:
        arrival.tell(STORE_UNREACHABLE.found(_reason(problem)), STORE)
        _close(arrival, "the store cannot be read")
        yield
        return
    with closing(store):
        _read_setup(store, arrival)
        yield


def _go_to_aws(address: "Address", arrival: _Arrival) -> None:
    """Describe the stack and open the store."""
    from pytp_broker.aws.deployments import NotOpenedError, open_deployed

    try:
        cloud = _open_cloud(address)
        arrival.visit = replace(arrival.visit, cloud=cloud, names=_aws_names(cloud, arrival.visit))
        deployed = open_deployed(address, "look", is_for_writing=False)
    except NotOpenedError as error:
        said = printable(" ".join(error.lines), 600)
        flaws = (flaw for text, flaw in _REFUSALS.items() if text in said)
        arrival.tell(next(flaws, STORE_UNREACHABLE).found(said), STORE)
        _close(arrival, "the store cannot be read")
    except NotCheckedError as error:
        arrival.tell(STORE_UNREACHABLE.found(str(error)), STORE)
        _close(arrival, "the stack cannot be described")
    else:
        _read_setup(deployed.store, arrival)


def _open_cloud(address: "Address") -> "Cloud":
    from pytp_broker.aws.inspection import open_inspection
    from pytp_broker.doctor.cloud import Cloud, read_stack

    inspection = open_inspection(address)
    if address.stack is None:
        return Cloud(inspection, str(address.table), address.bucket)
    stack = read_stack(address.stack, inspection)
    table, bucket = (stack.physical_id(name) for name in ("Table", "Bucket"))
    return Cloud(inspection, table or "", address.bucket or bucket, stack)


def _aws_names(cloud: "Cloud", visit: Visit) -> dict[str, str]:
    names = {"table": cloud.table, "bucket": cloud.bucket or "BUCKET"}
    return {**visit.names, **{name: value for name, value in names.items() if value}}


def _read_setup(store: "Store", arrival: _Arrival) -> None:
    try:
        setup = store.load_setup()
    except StoreUnavailable as problem:
        arrival.tell(STORE_UNREACHABLE.found(_reason(problem)), STORE)
        _close(arrival, "the store cannot be read")
        return
    arrival.visit = replace(arrival.visit, store=store, setup=setup)
    arrival.tell(well("the records of the broker can be read"), STORE)


def _reason(problem: StoreUnavailable) -> str:
    return printable(str(problem.__context__ or problem.operator_detail or problem.detail))


def _close(arrival: _Arrival, reason: str) -> None:
    closed = {Need.STORE: reason, Need.SETUP: reason}
    arrival.visit = replace(arrival.visit, absent={**arrival.visit.absent, **closed})


def _go_outside(asked: Asked, arrival: _Arrival) -> None:
    """Connect to the host, and say what is left out; raise BadUrlError."""
    arrival.visit = _with_config(arrival.visit)
    arrival.visit = replace(arrival.visit, absent=_absent(asked, arrival.visit))
    web = _find_web(asked, arrival.visit)
    if web is None:
        return
    arrival.visit = replace(arrival.visit, names={**arrival.visit.names, "host": web.host})
    try:
        finding = reach(web)
    except NoAnswerError as error:
        finding = UNREACHABLE.found(str(error))
    arrival.tell(finding, REACH)
    if finding.outcome in {Outcome.OK, Outcome.WARNING} or web.scheme == "http":
        arrival.visit = replace(arrival.visit, web=web)
    else:
        absent = {**arrival.visit.absent, Need.WEB: f"{web.origin} cannot be asked"}
        arrival.visit = replace(arrival.visit, absent=absent)


def _with_config(visit: Visit) -> Visit:
    """Return the visit with what the files say, if there is no store to say it."""
    if visit.setup is not None or visit.loaded is None:
        return visit
    publishers = {each.rules_hash: each for each in visit.loaded.publishers}
    return replace(visit, setup=Setup(visit.loaded.configuration, publishers))


def _absent(asked: Asked, visit: Visit) -> dict[Need, str]:
    """Return why parts are not there that the operator could name."""
    found = {Need.CONFIG: "give --config FILE to compare the broker with it"}
    if asked.url is None:
        found[Need.WEB] = "no address is known: give --url"
    if asked.data is None and asked.address is None:
        found[Need.STORE] = "only from inside: give --data DIR, or --stack NAME"
        if visit.setup is None:
            found[Need.SETUP] = found[Need.STORE]
    if asked.address is not None:
        found[Need.STACK] = "only for a stack: give --stack NAME instead of --table"
        found[Need.BUCKET] = "no bucket is known: name it with --bucket"
        found[Need.CLOUD] = "the deployment cannot be described"
    return {**found, **visit.absent}


def _find_web(asked: Asked, visit: Visit) -> Web | None:
    """Return where the broker is on the web, if we know that; raise BadUrlError."""
    files = _authorities(asked)
    if asked.url is not None:
        return Web.parse(asked.url, files, asked.connect)
    url = _own_url(visit)
    try:
        return Web.parse(url, files, asked.connect) if url else None
    except BadUrlError:
        return None


def _authorities(asked: Asked) -> tuple[str, ...]:
    """Return the files of --ca-bundle, or of the environment and of the folder's own authority."""
    if asked.ca_file is not None:
        return (asked.ca_file,)
    known = authorities()
    files = (known if isinstance(known, str) else default_authorities(),)
    own = asked.data / "tls" / "ca.pem" if asked.data else None
    return (*files, str(own)) if own and own.is_file() else files


def _own_url(visit: Visit) -> str | None:
    """Return the address that a folder's last server, or a stack, gives itself."""
    if visit.folder is not None:
        holder = last_holder(visit.folder)
        return holder.address if holder else None
    stack = visit.cloud.stack if visit.cloud else None
    return stack.outputs.get("Url") if stack else None
