"""Forms of uploads: boundaries, parts, fields, file names, and files of another format."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.subject import Subject, event
from tests.support import distributions
from tests.support.deployment import Answer
from tests.support.distributions import CONTENT_TYPE, body, file_part, part, text_part

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
FIELDS = [
    ":action",
    "protocol_version",
    "filetype",
    "metadata_version",
    "name",
    "version",
    "md5_digest",
    "sha256_digest",
    "blake2_256_digest",
    "attestations",
    "content",
]
VALUES = [
    "file_upload",
    "1",
    "bdist_wheel",
    "sdist",
    "2.1",
    "widgets",
    "1.0",
    "",
    "widgets\x00",
    "w\u0456dgets",
    "a" * 2000,
    "1" * 5000,
    "1.0" + ".0" * 500,
    "../widgets",
]


def upload(subject: Subject, content: bytes, content_type: str = CONTENT_TYPE) -> Answer:
    headers = {"authorization": subject.authorization, "content-type": content_type}
    return subject.send("upload", event("POST", "/acme/legacy/", content, headers))


@given(st.binary(max_size=200), texts)
def test_any_bytes_as_a_form(subject: Subject, content: bytes, boundary: str) -> None:
    for kind in (CONTENT_TYPE, f"multipart/form-data; boundary={boundary}", boundary):
        assert upload(subject, content, kind).status == 400


@given(st.lists(st.binary(max_size=80) | texts.map(str.encode), max_size=6))
def test_any_parts(subject: Subject, parts: list[bytes]) -> None:
    assert upload(subject, body(parts)).status == 400


@given(st.lists(st.tuples(texts, texts, st.binary(max_size=40)), max_size=5))
def test_any_headers_of_parts(subject: Subject, parts: list[tuple[str, str, bytes]]) -> None:
    made = [part(f'form-data; name="{name}"; {more}', content) for name, more, content in parts]

    assert upload(subject, body(made)).status == 400


@given(
    st.lists(
        st.tuples(
            st.sampled_from(FIELDS), st.sampled_from(VALUES) | texts | st.binary(max_size=20)
        ),
        max_size=4,
    ),
    st.sets(st.sampled_from(FIELDS), max_size=2),
)
def test_any_fields(
    subject: Subject, more: list[tuple[str, str | bytes]], absent: set[str]
) -> None:
    wheel = distributions.wheel(version="2.0", text="no metadata")
    fields = [field for field in distributions.fields(wheel) if field[0] not in absent]
    parts = [text_part(name, value) for name, value in [*fields, *more]]

    answer = upload(subject, body([*parts, file_part(wheel.filename, wheel.content)]))

    assert answer.status in {400, 403}


@given(
    texts
    | st.sampled_from(
        [
            "widgets-1.0.tar.gz",
            "widgets-1.0.zip",
            "../widgets-1.0.tar.gz",
            "widgets-1.0.tar.gz\x00.whl",
            "widgets-" + "1" * 5000 + ".tar.gz",
            "widgets-1.0-py3-none-any.whl/",
            "-".join("a" * 200),
        ]
    )
)
def test_any_file_name(subject: Subject, filename: str) -> None:
    wheel = distributions.wheel(version="3.0", text="no metadata")
    parts = [text_part(name, value) for name, value in distributions.fields(wheel)]

    answer = upload(subject, body([*parts, file_part(filename, wheel.content)]))

    assert answer.status == 400


@given(st.data())
def test_any_damage_of_an_archive(subject: Subject, data: st.DataObject) -> None:
    """A cut, overwritten or continued archive is refused, or it has the same metadata."""
    make: Any = data.draw(st.sampled_from([distributions.wheel, distributions.sdist]))
    whole = make(version="4.0", text="no metadata")
    at = data.draw(st.integers(0, len(whole.content)))
    junk = data.draw(st.binary(max_size=8))
    keep = data.draw(st.booleans())
    damaged = distributions.Distribution(
        whole.filename, whole.content[:at] + junk + (whole.content[at:] if keep else b"")
    )

    answer = upload(subject, distributions.form(damaged, distributions.fields(damaged)))

    assert answer.status == 400


@given(st.binary(max_size=400), st.sampled_from(["WHEEL", "RECORD"]))
def test_anything_that_a_wheel_says_of_itself(subject: Subject, text: bytes, file: str) -> None:
    members = dict(distributions.recorded(distributions.wheel_members(version="6.0").items()))
    members[f"widgets-6.0.dist-info/{file}"] = text
    content = distributions.zipped(members.items())
    made = distributions.Distribution("widgets-6.0-py3-none-any.whl", content)

    assert upload(subject, distributions.form(made)).status in {200, 400}


@given(st.binary(max_size=400), st.booleans())
def test_any_metadata(subject: Subject, text: bytes, is_wheel: bool) -> None:
    shown = text.decode("latin-1")
    make: Any = distributions.wheel if is_wheel else distributions.sdist
    made = make(version="5.0", text=shown)

    assert upload(subject, distributions.form(made)).status == 400


REQUIREMENT_PIECES = [
    *["foo", "bar", "[", "]", "(", ")", ",", ";", "@", "==", "===", "~=", ">=", "<", "!", ".*"],
    *["1.0", "1.0.*", "9", '"', "'", "and", "or", "in", "not", "extra", "os_name"],
    "https://example.com/x.whl",
    "=?utf-8?q?x?=",
    "\n ",
    "\t",
    "\xa0",
    "\u202e",
    " ",
    "(" * 3000,
    "9" * 5000,
]


@given(
    st.sampled_from(["Requires-Dist", "Requires-Python", "Provides-Extra", "Dynamic"]),
    st.lists(st.sampled_from(REQUIREMENT_PIECES) | texts, max_size=6).map("".join),
)
def test_any_requirement(subject: Subject, field: str, text: str) -> None:
    """The version inside differs from the file's, so nothing is published."""
    made = distributions.wheel(
        version="7.0", text=distributions.metadata("widgets", "7.1", f"{field}: {text}")
    )

    assert upload(subject, distributions.form(made)).status == 400
