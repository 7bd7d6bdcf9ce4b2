"""XML in and out: a parser that trusts nobody, and the escaping that listings need.

S3 writes characters that XML 1.0 cannot carry as numeric references; clients that meet such keys
ask for `encoding-type=url`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote
from xml.etree.ElementTree import Element, ParseError

import defusedxml
import defusedxml.ElementTree

from trilith.s3.errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

_SPECIAL = re.compile("[&<>\"'\\x00-\\x1f\\x7f\\ud800-\\udfff\\ufffe\\uffff]")
_NOT_CARRIED = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ud800-\\udfff\\ufffe\\uffff]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}


def escape(text: str) -> str:
    """Text as XML character data, as S3 writes it."""
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(_escape_one, text)


def _escape_one(match: re.Match[str]) -> str:
    character = match[0]
    return _ESCAPES.get(character) or f"&#x{ord(character):x};"


def is_carried(text: str) -> bool:
    """Whether XML 1.0 can carry every character of a text (section 2.2)."""
    return _NOT_CARRIED.search(text) is None


def url_encode(text: str) -> str:
    """A key or prefix under `encoding-type=url`."""
    return quote(text, safe="/-_.~*")


def element(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>"


def parse(body: bytes, root_name: str) -> Element:
    """The document's root, namespaces removed. Raises MalformedXML.

    No DTD, no entities: `body` is bounded by the caller, and nothing expands.
    """
    try:
        root: Element = defusedxml.ElementTree.fromstring(body, forbid_dtd=True)
    except (ParseError, defusedxml.DefusedXmlException, ValueError, LookupError):
        raise S3Error("MalformedXML") from None
    for node in root.iter():
        if isinstance(node.tag, str):
            node.tag = node.tag.rpartition("}")[2]
    if root.tag != root_name:
        raise S3Error("MalformedXML")
    return root


def child_text(node: Element, name: str) -> str | None:
    """The text of the only child of this name, None without one. Raises MalformedXML."""
    children = node.findall(name)
    if not children:
        return None
    if len(children) > 1 or len(children[0]):
        raise S3Error("MalformedXML")
    return (children[0].text or "").strip(" \t\r\n") if name != "Key" else children[0].text or ""


def children(node: Element, name: str) -> Iterator[Element]:
    return iter(node.findall(name))
