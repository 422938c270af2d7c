"""Coverage-guided fuzzing of whole requests. It takes long, so no test run includes it.

`make fuzz-guided` runs it. atheris is not among our requirements: that target installs it.
"""

import sys
from typing import Any

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore] # see above

with atheris.instrument_imports(include=["pytp_broker", "jwt", "multipart"]):
    from tests.fuzz.subject import SECRET, Subject, event
    from tests.support.deployment import basic

PATHS = (
    ("broker", "POST", "/acme/_/oidc/mint-token"),
    ("broker", "POST", "/_/oidc/burn-token"),
    ("broker", "POST", "/_/secrets/disclose-token"),
    ("broker", "GET", "/.well-known/pytp"),
    ("upload", "POST", "/acme/legacy/"),
    ("introspect", "POST", "/acme/_/token/introspect"),
    ("introspect", "GET", "/acme/_/token/verify/"),
    ("read", "GET", "/acme/simple/"),
    ("read", "GET", "/acme/files/"),
    ("web", "GET", "/acme/"),
    ("web", "GET", "/acme/project/"),
)


def main() -> None:
    """Feed inputs of libFuzzer to all functions; the subject checks what must hold."""
    subject = Subject()
    authorizations = {"upload": subject.authorization, "introspect": basic("devpi", SECRET)}

    def feed(made_up: bytes) -> None:
        data: Any = atheris.FuzzedDataProvider(made_up)
        function, method, path = PATHS[data.ConsumeIntInRange(0, len(PATHS) - 1)]
        headers = {
            "content-type": "multipart/form-data; boundary=a0b1c2d3e4f5",
            "accept": data.ConsumeUnicodeNoSurrogates(20),
            "authorization": authorizations.get(function, ""),
        }
        if method == "GET":
            path += data.ConsumeUnicode(40)
        body = data.ConsumeBytes(data.remaining_bytes())
        subject.send(function, event(method, path, body, headers))

    atheris.Setup(sys.argv, feed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
