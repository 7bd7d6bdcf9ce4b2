"""CORS over real sockets: what a browser sends before and with a page's requests."""

from __future__ import annotations

from typing import Any

from .wire import Caller

PAGE = "https://page.example"


def test_a_page_may_do_what_the_bucket_s_rules_say(caller: Caller, s3: Any, bucket: str) -> None:
    rule = {
        "AllowedMethods": ["GET", "PUT"],
        "AllowedOrigins": ["https://*.example"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag"],
    }
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    question = {
        "host": caller.host,
        "origin": PAGE,
        "access-control-request-method": "PUT",
        "access-control-request-headers": "content-type,x-amz-date",
    }
    told = caller.send("OPTIONS", f"/{bucket}/o", question)
    assert (told.status, told.headers["access-control-allow-origin"]) == (200, PAGE)
    assert told.headers["access-control-allow-headers"] == "content-type, x-amz-date"
    put = caller.call("PUT", f"/{bucket}/o", headers={"origin": PAGE}, body=b"from a page")
    assert (put.status, put.headers["access-control-expose-headers"]) == (200, "ETag")
    got = caller.call("GET", f"/{bucket}/o", headers={"origin": PAGE})
    assert (got.body, got.headers["access-control-allow-origin"]) == (b"from a page", PAGE)
    other = caller.send("OPTIONS", f"/{bucket}/o", {**question, "origin": "https://other.org"})
    assert (other.status, other.error_code) == (403, "AccessForbidden")
    plain = caller.call("GET", f"/{bucket}/o")
    assert "access-control-allow-origin" not in plain.headers


def test_a_bucket_goes_with_the_uploads_that_nobody_finished(s3: Any, bucket: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="left")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="left", UploadId=upload, PartNumber=1, Body=b"x")
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
