"""Cross-origin requests: the configuration, preflights and what answers say; over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import urllib3
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from trilith.s3.cors import VARY, fits

from .local_s3 import LocalS3, running

PAGE = "https://page.example"
RULES = [
    {
        "ID": "mine",
        "AllowedMethods": ["GET", "PUT"],
        "AllowedOrigins": ["https://*.example"],
        "AllowedHeaders": ["x-amz-*", "Content-Type"],
        "ExposeHeaders": ["ETag", "x-amz-meta-a"],
        "MaxAgeSeconds": 30,
    },
    {"AllowedMethods": ["HEAD"], "AllowedOrigins": ["*"]},
]


@pytest.fixture(scope="module")
def s3() -> Iterator[LocalS3]:
    with running(LocalS3()) as local:
        client = local.client()
        for bucket in ("shared", "plain"):
            client.create_bucket(Bucket=bucket)
            client.put_object(Bucket=bucket, Key="o", Body=b"x")
        client.put_bucket_cors(Bucket="shared", CORSConfiguration={"CORSRules": RULES})
        yield local


@pytest.fixture(scope="module")
def client(s3: LocalS3) -> Any:
    return s3.client()


def refusal(call: Callable[..., Any], **parameters: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def ask(s3: LocalS3, path: str = "/shared/o", **headers: str) -> urllib3.BaseHTTPResponse:
    """A preflight: unsigned, as browsers send it."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return urllib3.request("OPTIONS", s3.endpoint + path, headers=names, retries=False)


def question(method: str, *headers: str, origin: str = PAGE) -> dict[str, str]:
    asked = {"origin": origin, "access_control_request_method": method}
    return asked | ({"access_control_request_headers": ",".join(headers)} if headers else {})


def test_a_configuration_comes_back_as_it_was_put_and_goes(client: Any) -> None:
    assert client.get_bucket_cors(Bucket="shared")["CORSRules"] == RULES
    client.put_bucket_cors(Bucket="plain", CORSConfiguration={"CORSRules": RULES[1:]})
    assert client.get_bucket_cors(Bucket="plain")["CORSRules"] == RULES[1:]
    client.delete_bucket_cors(Bucket="plain")
    absent = ("NoSuchCORSConfiguration", 404)
    assert refusal(client.get_bucket_cors, Bucket="plain") == absent
    rules = {"CORSConfiguration": {"CORSRules": RULES}}
    assert refusal(client.put_bucket_cors, Bucket="absent", **rules) == ("NoSuchBucket", 404)


def test_a_configuration_does_not_outlive_its_bucket(client: Any) -> None:
    client.create_bucket(Bucket="brief")
    client.put_bucket_cors(Bucket="brief", CORSConfiguration={"CORSRules": RULES})
    client.delete_bucket(Bucket="brief")
    client.create_bucket(Bucket="brief")
    absent = ("NoSuchCORSConfiguration", 404)
    assert refusal(client.get_bucket_cors, Bucket="brief") == absent


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"AllowedMethods": ["PATCH"]}, "InvalidRequest"),
        ({"AllowedMethods": ["get"]}, "InvalidRequest"),
        ({"AllowedMethods": []}, "MalformedXML"),
        ({"AllowedOrigins": []}, "MalformedXML"),
        ({"AllowedOrigins": ["*a*"]}, "InvalidRequest"),
        ({"AllowedHeaders": ["x-*-*"]}, "InvalidRequest"),
        ({"AllowedHeaders": ["a b"]}, "InvalidRequest"),
        ({"ExposeHeaders": ["x-*"]}, "InvalidRequest"),
        ({"ExposeHeaders": ["a:b"]}, "InvalidRequest"),
        ({"ID": "i" * 256}, "MalformedXML"),
    ],
    ids=str,
)
def test_a_rule_that_aws_does_not_take_is_refused(
    client: Any, changed: dict[str, Any], code: str
) -> None:
    rules = {"CORSRules": [{**RULES[0], **changed}]}
    call = client.put_bucket_cors
    assert refusal(call, Bucket="plain", CORSConfiguration=rules) == (code, 400)


@pytest.mark.parametrize("count", [0, 101])
def test_a_configuration_has_1_to_100_rules(client: Any, count: int) -> None:
    rules = {"CORSRules": RULES[1:] * count}
    answer = refusal(client.put_bucket_cors, Bucket="plain", CORSConfiguration=rules)
    assert answer == ("MalformedXML", 400)


def test_a_browser_is_told_what_a_page_may_send(s3: LocalS3) -> None:
    answer = ask(s3, **question("PUT", "X-Amz-Date", "content-type"))
    shown = {n[15:]: v for n, v in answer.headers.items() if n.startswith("access-control-")}
    assert (answer.status, shown) == (
        200,
        {
            "allow-origin": PAGE,
            "allow-methods": "GET, PUT",
            "allow-headers": "x-amz-date, content-type",
            "allow-credentials": "true",
            "expose-headers": "ETag, x-amz-meta-a",
            "max-age": "30",
        },
    )
    assert answer.headers["vary"] == VARY.decode()
    anybody = ask(s3, "/shared?uploads", **question("HEAD", origin="null"))
    assert (anybody.status, anybody.headers["access-control-allow-origin"]) == (200, "*")
    assert "access-control-allow-credentials" not in anybody.headers


@pytest.mark.parametrize(
    ("path", "asked", "status", "code"),
    [
        ("/shared/o", question("DELETE"), 403, "AccessForbidden"),
        ("/shared/o", question("GET", origin="https://page.example.org"), 403, "AccessForbidden"),
        ("/shared/o", question("PUT", "authorization"), 403, "AccessForbidden"),
        ("/shared/o", question("PUT", "x-amz-date", "range"), 403, "AccessForbidden"),
        ("/plain/o", question("GET"), 403, "AccessForbidden"),
        ("/absent/o", question("GET"), 404, "NoSuchBucket"),
        ("/shared/o", question("get"), 400, "BadRequest"),
        ("/shared/o", question("PUT", "bad/name"), 400, "BadRequest"),
        ("/shared/o", {"origin": PAGE}, 400, "BadRequest"),
        ("/shared/o", {"access_control_request_method": "GET"}, 400, "BadRequest"),
    ],
)
def test_a_browser_is_told_that_a_page_may_not(
    s3: LocalS3, path: str, asked: dict[str, str], status: int, code: str
) -> None:
    answer = ask(s3, path, **asked)
    assert (answer.status, f"<Code>{code}</Code>" in answer.data.decode()) == (status, True)
    assert "access-control-allow-origin" not in answer.headers


def with_origin(s3: LocalS3, key: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
    url = s3.client().generate_presigned_url("get_object", Params={"Bucket": "shared", "Key": key})
    return urllib3.request("GET", url, headers=headers, retries=False)


@pytest.mark.parametrize(("key", "status"), [("o", 200), ("absent", 404)])
def test_answers_say_that_the_page_may_read_them(s3: LocalS3, key: str, status: int) -> None:
    """Errors too: else a page cannot tell what went wrong."""
    answer = with_origin(s3, key, {"origin": PAGE})
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, PAGE)
    assert answer.headers["access-control-expose-headers"] == "ETag, x-amz-meta-a"
    for headers in ({}, {"origin": "https://other.org"}):
        answer = with_origin(s3, key, headers)
        assert answer.status == status
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_form_of_a_page_is_answered_so_that_it_can_read_it(s3: LocalS3, client: Any) -> None:
    rules = [{"AllowedMethods": ["POST"], "AllowedOrigins": [PAGE]}]
    client.create_bucket(Bucket="forms")
    client.put_bucket_cors(Bucket="forms", CORSConfiguration={"CORSRules": rules})
    post = client.generate_presigned_post("forms", "k")
    fields = {**post["fields"], "file": ("f", b"x")}
    answer = urllib3.request(
        "POST", post["url"], fields=fields, headers={"origin": PAGE}, retries=False
    )
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, PAGE)


@given(st.text("ab", max_size=3), st.text("ab", max_size=3), st.text("ab", max_size=8))
def test_a_pattern_is_a_beginning_and_an_end_that_do_not_overlap(
    front: str, back: str, text: str
) -> None:
    middles = range(len(text) + 1)
    expected = any(
        text == front + "".join(text[len(front) : len(front) + n]) + back for n in middles
    )
    assert fits(f"{front}*{back}", text) == expected
    assert fits(front, text) == (front == text)


def test_a_block_of_public_access_is_kept(client: Any) -> None:
    get, absent = client.get_public_access_block, ("NoSuchPublicAccessBlockConfiguration", 404)
    assert refusal(get, Bucket="plain") == absent
    block = {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": False,
        "BlockPublicPolicy": True,
        "RestrictPublicBuckets": False,
    }
    put = client.put_public_access_block
    put(Bucket="plain", PublicAccessBlockConfiguration=block)
    assert get(Bucket="plain")["PublicAccessBlockConfiguration"] == block
    put(Bucket="plain", PublicAccessBlockConfiguration={"IgnorePublicAcls": True})
    found = get(Bucket="plain")["PublicAccessBlockConfiguration"]
    assert [name for name, is_on in found.items() if is_on] == ["IgnorePublicAcls"]
    client.delete_public_access_block(Bucket="plain")
    assert refusal(get, Bucket="plain") == absent
    answer = refusal(put, Bucket="absent", PublicAccessBlockConfiguration=block)
    assert answer == ("NoSuchBucket", 404)
