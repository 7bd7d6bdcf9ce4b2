"""Access control lists, as AWS answers them for a bucket that has none: BucketOwnerEnforced.

The owner has full control and nobody else has anything. To ask for just that succeeds; to ask for
anything else is refused in AWS's words. Source: S3 User Guide, "Controlling ownership of objects
and disabling ACLs for your bucket".
"""

from __future__ import annotations

from trilith.iam.credentials import Identity
from trilith.s3.answer import Answer, xml_answer
from trilith.s3.errors import S3Error, invalid_argument
from trilith.s3.request import Request
from trilith.s3.xml import NAMESPACE, child_text, element, parse

CANNED = b"x-amz-acl"
GRANTS = frozenset(
    {
        b"x-amz-grant-full-control",
        b"x-amz-grant-read",
        b"x-amz-grant-read-acp",
        b"x-amz-grant-write",
        b"x-amz-grant-write-acp",
    }
)
HEADERS = GRANTS | {CANNED}

# They ask for what is the case anyway; many clients always send `private`.
_AS_IT_IS = frozenset({b"private", b"bucket-owner-full-control", b"bucket-owner-read"})
_OTHERS = frozenset(
    {
        b"authenticated-read",
        b"aws-exec-read",
        b"log-delivery-write",
        b"public-read",
        b"public-read-write",
    }
)


def check_headers(request: Request) -> None:
    """Raises what AWS answers to headers that ask for another list than there is."""
    header_map = request.head.header_map
    canned = header_map.get(CANNED)
    if canned is not None and canned not in _AS_IT_IS:
        if canned not in _OTHERS:
            raise invalid_argument("", CANNED.decode(), canned.decode("latin-1"))
        raise _refusal(request)
    if not GRANTS.isdisjoint(header_map):
        raise _refusal(request)


def _refusal(request: Request) -> S3Error:
    if request.operation == "CreateBucket":
        return S3Error("InvalidBucketAclWithObjectOwnership")
    return _not_supported()


def _not_supported() -> S3Error:
    return S3Error("AccessControlListNotSupported")


def check_document(body: bytes, identity: Identity) -> None:
    """An <AccessControlPolicy> may say what is so. Raises MalformedXML, and as `check_headers`."""
    root = parse(body, "AccessControlPolicy")
    lists = root.findall("AccessControlList")
    if len(lists) != 1:
        raise S3Error("MalformedXML")
    grants = lists[0].findall("Grant")
    for grant in grants:
        grantee = grant.find("Grantee")
        permission = child_text(grant, "Permission")
        if grantee is None or permission is None:
            raise S3Error("MalformedXML")
        is_owner = child_text(grantee, "ID") == identity.canonical_user_id
        if not is_owner or permission != "FULL_CONTROL":
            raise _not_supported()
    if not grants:
        raise _not_supported()


def acl_answer(request: Request) -> Answer:
    """The only access control list there is: everything for the owner."""
    identity = request.identity
    person = element("ID", identity.canonical_user_id) + element(
        "DisplayName", identity.display_name
    )
    return xml_answer(
        f'<AccessControlPolicy xmlns="{NAMESPACE}"><Owner>{person}</Owner><AccessControlList>'
        '<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:type="CanonicalUser">{person}</Grantee><Permission>FULL_CONTROL</Permission></Grant>'
        "</AccessControlList></AccessControlPolicy>"
    )
