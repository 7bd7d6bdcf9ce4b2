"""Put, Get and DeleteBucketCors, the preflight of browsers, and what other answers say to them."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

from trilith.errors import TrilithError
from trilith.objects.types import CorsRule
from trilith.s3 import cors
from trilith.s3.answer import Answer, Headers, empty_answer, xml_answer
from trilith.s3.context import Context
from trilith.s3.errors import S3Error
from trilith.s3.request import CONFIGURATION_BYTES_MAX, Request
from trilith.s3.xml import NAMESPACE, child_text, element, parse

RULES_MAX = 100
ID_CHARACTERS_MAX = 255

_TOKEN = re.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2
_SECONDS = re.compile("-?[0-9]{1,9}")
_OF_A_RULE = frozenset(
    {"ID", "AllowedOrigin", "AllowedMethod", "AllowedHeader", "ExposeHeader", "MaxAgeSeconds"}
)


async def put_bucket_cors(context: Context, request: Request) -> Answer:
    root = parse(await request.read_document(CONFIGURATION_BYTES_MAX), "CORSConfiguration")
    nodes = list(root)
    if not 1 <= len(nodes) <= RULES_MAX or any(node.tag != "CORSRule" for node in nodes):
        raise S3Error("MalformedXML")
    await context.objects.put_cors(request.bucket, [_rule(node) for node in nodes])
    return empty_answer(200)


def _rule(node: Element) -> CorsRule:
    """Raises MalformedXML, and InvalidRequest for what AWS does not take."""
    texts = {tag: [child.text or "" for child in node.findall(tag)] for tag in _OF_A_RULE}
    if any(child.tag not in _OF_A_RULE or len(child) for child in node):
        raise S3Error("MalformedXML")
    methods, origins = texts["AllowedMethod"], texts["AllowedOrigin"]
    if not methods or not origins:
        raise S3Error("MalformedXML")
    for method in methods:
        if method not in cors.METHODS:
            raise _refused(
                "Found unsupported HTTP method in CORS config. Unsupported method is " + method
            )
    for origin in origins:
        if origin.count("*") > 1:
            raise _refused(f'AllowedOrigin "{origin}" can not have more than one wildcard.')
        if not origin.isprintable() or not origin:
            raise S3Error("MalformedXML")
    for header in texts["AllowedHeader"]:
        if header.count("*") > 1:
            raise _refused(f'AllowedHeader "{header}" can not have more than one wildcard.')
    for header in texts["ExposeHeader"]:
        if "*" in header:
            raise _refused(
                f'ExposeHeader "{header}" contains wildcard. We currently do not support wildcard '
                "for ExposeHeader."
            )
    for header in texts["AllowedHeader"] + texts["ExposeHeader"]:
        if not _TOKEN.fullmatch(header):
            raise _refused(f'"{header}" is not a valid header name.')
    rule_id, age = child_text(node, "ID"), child_text(node, "MaxAgeSeconds")
    if len(rule_id or "") > ID_CHARACTERS_MAX or (age is not None and not _SECONDS.fullmatch(age)):
        raise S3Error("MalformedXML")
    return CorsRule(
        methods,
        origins,
        texts["AllowedHeader"],
        texts["ExposeHeader"],
        int(age) if age is not None else None,
        rule_id,
    )


def _refused(message: str) -> S3Error:
    return S3Error("InvalidRequest", message)


async def get_bucket_cors(context: Context, request: Request) -> Answer:
    rules = (await context.objects.get_bucket_settings(request.bucket)).cors
    if not rules:
        raise S3Error("NoSuchCORSConfiguration", elements={"BucketName": request.bucket})
    shown = "".join(map(_rule_element, rules))
    return xml_answer(f'<CORSConfiguration xmlns="{NAMESPACE}">{shown}</CORSConfiguration>')


def _rule_element(rule: CorsRule) -> str:
    parts = [element("ID", rule.rule_id)] if rule.rule_id is not None else []
    parts += [element("AllowedMethod", method) for method in rule.allowed_methods]
    parts += [element("AllowedOrigin", origin) for origin in rule.allowed_origins]
    parts += [element("AllowedHeader", header) for header in rule.allowed_headers]
    parts += [element("ExposeHeader", header) for header in rule.expose_headers]
    if rule.max_age_s is not None:
        parts.append(element("MaxAgeSeconds", str(rule.max_age_s)))
    return f"<CORSRule>{''.join(parts)}</CORSRule>"


async def delete_bucket_cors(context: Context, request: Request) -> Answer:
    await context.objects.put_cors(request.bucket, [])
    return empty_answer(204)


async def preflight(context: Context, request: Request) -> Answer:
    """OPTIONS: may a page of this origin send that? Unsigned, as browsers send it."""
    origin = request.head.header_map.get(b"origin")
    if origin is None:
        raise S3Error("BadRequest", "Insufficient information. Origin request header needed.")
    method = request.header(b"access-control-request-method")
    if method not in cors.METHODS:
        raise S3Error("BadRequest", f"Invalid Access-Control-Request-Method: {method or 'null'}")
    listed = request.header(b"access-control-request-headers") or ""
    names = [name.strip() for name in listed.split(",") if name.strip()]
    for name in names:
        if not _TOKEN.fullmatch(name):
            raise S3Error("BadRequest", f"Invalid Access-Control-Request-Headers: {name}")
    rules = (await context.objects.get_bucket_settings(request.bucket)).cors
    if not rules:
        raise _forbidden(request, "CORS is not enabled for this bucket.")
    rule = cors.fitting_rule(rules, origin.decode("latin-1"), method, names)
    if rule is None:
        raise _forbidden(
            request,
            "This CORS request is not allowed. This is usually because the evalution of Origin, "
            "request method / Access-Control-Request-Method or Access-Control-Request-Headers are "
            "not whitelisted by the resource's CORS spec.",
        )
    return empty_answer(200, cors.allowing_headers(rule, origin, names))


def _forbidden(request: Request, why: str) -> S3Error:
    return S3Error(
        "AccessForbidden",
        f"CORSResponse: {why}",
        elements={
            "Method": request.header(b"access-control-request-method") or "",
            "ResourceType": "OBJECT" if request.key else "BUCKET",
        },
    )


async def headers_for_origin(context: Context, bucket: str, origin: bytes, method: str) -> Headers:
    """What the answer to a page of another origin says besides; nothing where no rule fits."""
    try:
        rules = (await context.objects.get_bucket_settings(bucket)).cors
    except TrilithError:
        return []  # the request has its own answer; this one only decides who may read it
    rule = cors.fitting_rule(rules, origin.decode("latin-1"), method)
    return cors.allowing_headers(rule, origin) if rule is not None else []
