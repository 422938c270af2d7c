"""Checks of the host: whether clients reach it, TLS, its health, port 80 and its clock."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from pytp_broker.doctor.checks import Entrance
from pytp_broker.doctor.findings import Finding, Flaw, NotCheckedError, warning, well
from pytp_broker.doctor.web import NoAnswerError, Seen, Web
from pytp_broker.http import paths
from pytp_broker.oidc.signed_claims import LEEWAY_SECONDS
from pytp_broker.redaction import printable

if TYPE_CHECKING:
    from pytp_broker.doctor.visit import Visit

_OK: Final = 200
_REDIRECTS: Final = range(300, 400)
_SOON: Final = timedelta(days=14)
# OpenSSL's X509_V_ERR_* codes.
_EXPIRED, _NOT_YET, _WRONG_NAME = (10,), (9,), (62, 64)

UNREACHABLE: Final = Flaw(
    "unreachable",
    "look at DNS, the firewall and the server's log; before DNS names the broker, give --connect",
)
NO_ANSWER: Final = Flaw("no-answer", "look at the server's log and at what is in front of it")
NO_TLS: Final = Flaw("no-tls", "serve https: clients send no identity token over plain http")
EXPIRED: Final = Flaw(
    "certificate-expired", "renew the certificate; `serve` without --cert renews its own"
)
WRONG_NAME: Final = Flaw(
    "certificate-wrong-name", "get a certificate for {host}; for `serve`, name it in --public-host"
)
UNTRUSTED: Final = Flaw(
    "certificate-untrusted",
    "send the whole chain, with the intermediate certificates; if your own authority has signed "
    "it, name that authority in --ca-bundle, as clients must in SSL_CERT_FILE",
)
ENDS_SOON: Final = warning("certificate-ends-soon", "renew the certificate now, and automatically")
UNHEALTHY: Final = Flaw(
    "unhealthy", "look at the server's log: its store does not answer; then run doctor {target}"
)
NOT_A_BROKER: Final = Flaw(
    "not-a-broker", "check the URL, and where the proxy or DNS behind {host} leads"
)
REDIRECTED: Final = Flaw(
    "redirected", "answer at {host} itself: clients follow no redirect with an identity token"
)
PLAIN_HTTP: Final = warning(
    "plain-http", "close port 80, or redirect it to https: a token must not go over plain http"
)
CLOCK_OFF: Final = Flaw(
    "clock-off",
    "set the clock of the server, or of this machine, by NTP: identity tokens live for minutes",
)


REACH: Final = Entrance(
    "reach",
    "Do clients reach the host, with TLS that they trust?",
    (UNREACHABLE, NO_TLS, EXPIRED, WRONG_NAME, UNTRUSTED, ENDS_SOON),
)


def reach(web: Web) -> Finding:
    """Return whether there is a connection to a broker at all, with TLS that clients accept."""
    if web.scheme == "http":
        with web.open_socket():
            return NO_TLS.found(f"{web.origin} is plain http")
    plain = web.open_socket()
    try:
        with web.context().wrap_socket(plain, server_hostname=web.host_name) as secured:
            return _judge_end(secured.getpeercert() or {}, web)
    except ssl.SSLCertVerificationError as error:
        return _refused(error, web)
    except (ssl.SSLError, OSError) as error:
        reason = printable(str(getattr(error, "reason", None) or type(error).__name__))
        return UNREACHABLE.found(f"{web.origin} does not speak TLS: {reason}")
    finally:
        plain.close()


def _judge_end(certificate: "ssl._PeerCertRetDictType", web: Web) -> Finding:
    end = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    left = end - datetime.now(UTC)
    seen = f"the certificate of {web.host} is trusted and ends on {end:%Y-%m-%d}"
    return ENDS_SOON.found(f"{seen}, in {left.days} days") if left < _SOON else well(seen)


def _refused(error: ssl.SSLCertVerificationError, web: Web) -> Finding:
    said = printable(error.verify_message)
    flaw = UNTRUSTED
    if error.verify_code in _EXPIRED:
        flaw = EXPIRED
    elif error.verify_code in _WRONG_NAME:
        flaw = WRONG_NAME
    return flaw.found(f"the certificate of {web.host} is refused: {said}", host=web.host_name)


def look_at_health(visit: "Visit") -> Iterator[Finding]:
    """Ask whether the broker's store answers."""
    web = _web(visit)
    with web.line() as line:
        seen = line.ask("GET", str(paths.HEALTH))
    if seen.status in _REDIRECTS:
        yield REDIRECTED.found(_where_to(seen, str(paths.HEALTH)), host=web.host)
    elif seen.status == _OK and seen.body == b"ok\n":
        yield well(f"{web.origin}{paths.HEALTH} answers ok")
    elif seen.code:
        yield UNHEALTHY.found(f"{paths.HEALTH} answered {seen}")
    else:
        yield NOT_A_BROKER.found(f"{paths.HEALTH} answered {seen}", host=web.host)


def _where_to(seen: Seen, path: str) -> str:
    return f"{path} answered {seen.status} to {printable(seen.headers.get('location', ''))}"


def look_at_plain_http(visit: "Visit") -> Iterator[Finding]:
    """Ask what port 80 does beside a host on port 443."""
    web = _web(visit)
    if web.scheme != "https" or web.port != 443 or web.connect:  # noqa: PLR2004 - https
        raise NotCheckedError("only a host on port 443 has a port 80 beside it")
    yield plain_http(Web("http", web.host_name))


def plain_http(web: Web) -> Finding:
    """Return what a host does without TLS."""
    try:
        with web.line() as line:
            seen = line.ask("GET", str(paths.AUDIENCE))
    except NoAnswerError:
        return well(f"nobody answers at port {web.port}")
    if seen.status in _REDIRECTS or seen.status in {403, 404, 426}:
        return well(f"port {web.port} answers {seen.status}, and no broker")
    return PLAIN_HTTP.found(f"{web.origin}{paths.AUDIENCE} answered {seen}")


def look_at_clock(visit: "Visit") -> Iterator[Finding]:
    """Compare the server's Date with this machine's clock."""
    with _web(visit).line() as line:
        seen = line.ask("GET", str(paths.HEALTH))
    try:
        theirs = parsedate_to_datetime(seen.headers["date"])
    except (KeyError, ValueError, TypeError):
        raise NotCheckedError("the answer has no Date") from None
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=UTC)
    # The Date has whole seconds, and may be of any moment between question and answer.
    behind, ahead = seen.asked_at - theirs - timedelta(seconds=1), theirs - seen.seen_at
    off = max(behind, ahead)
    if off.total_seconds() <= LEEWAY_SECONDS:
        yield well("the server's clock and this machine's agree")
        return
    word = "behind" if behind > ahead else "ahead of"
    yield CLOCK_OFF.found(
        f"the server's clock is {off.total_seconds():.0f} s {word} this machine's; identity tokens "
        f"are refused from {LEEWAY_SECONDS} s on"
    )


def _web(visit: "Visit") -> Web:
    assert visit.web is not None  # noqa: S101 - the check needs it
    return visit.web
