"""XML documents, in and out."""

from __future__ import annotations

from urllib.parse import unquote, unquote_plus
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilith.s3.errors import S3Error
from trilith.s3.xml import child_text, escape, parse, url_encode

# What XML 1.0 can carry.
TEXT = st.text(
    st.characters(
        blacklist_categories=["Cs"],
        blacklist_characters=[chr(c) for c in range(32) if c not in (9, 10, 13)]
        + ["\ufffe", "\uffff"],
    )
)


@given(TEXT)
def test_any_text_survives_a_parser(text: str) -> None:
    assert (ElementTree.fromstring(f"<a>{escape(text)}</a>").text or "") == text


def test_control_characters_become_references_as_s3_writes_them() -> None:
    assert escape("a\x01b\r") == "a&#x1;b&#xd;"


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_url_encoding_is_undone_by_either_decoder(text: str) -> None:
    encoded = url_encode(text)
    assert unquote(encoded) == unquote_plus(encoded) == text


def test_namespaces_do_not_matter() -> None:
    root = parse(b'<Delete xmlns="urn:any"><Object><Key> k </Key></Object></Delete>', "Delete")
    (node,) = root.findall("Object")
    assert child_text(node, "Key") == " k "


BOMB = b"""<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<Delete><Object><Key>&c;</Key></Object></Delete>"""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<",
        b"<Delete>",
        b"<Other/>",
        b"text",
        b"\xff\xfe",
        BOMB,
        b'<!DOCTYPE Delete SYSTEM "file:///etc/passwd"><Delete/>',
        b'<?xml version="1.0" encoding="no-such-code"?><Delete/>',
        b"<Delete>\x00</Delete>",
    ],
)
def test_what_is_not_the_document_is_malformed(body: bytes) -> None:
    with pytest.raises(S3Error, match="MalformedXML"):
        parse(body, "Delete")
