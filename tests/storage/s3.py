"""An S3 server for tests: moto, behind what real endpoints do and moto leaves out.

Signatures (headers and presigned addresses) are computed anew by botocore and compared; expired addresses are refused; announced
hashes are compared with what arrived; writes are taken one after the other, so that a conditional write is decided once.

    s3.py BUCKET ACCESS_KEY SECRET REGION     prints {"url": …} and serves until standard input ends

POST /-/fail/N makes the next N requests answer 503 SlowDown. GET /-/log lists what was asked, POST /-/log forgets it.
"""

import base64
import datetime
import hashlib
import io
import json
import os
import re
import sys
import threading
import urllib.parse

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET, ACCESS_KEY, SECRET, REGION = sys.argv[1:5]
CREDENTIALS = Credentials(ACCESS_KEY, SECRET)
PARALLEL = threading.Lock()
state = {"fail": 0, "log": []}


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code = status, code


def headers_of(environ):
    found = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            found[name.replace("_", "-").lower()] = environ[name]
    return found


def signed_request(environ, headers, names, query):
    path = environ["RAW_URI"].split("?")[0]
    url = f"http://{headers['host']}{path}?{query}"
    missing = [name for name in names if name not in headers]
    if missing:
        raise Refused(403, "SignatureDoesNotMatch", f"signed headers are missing: {missing}")
    return AWSRequest(environ["REQUEST_METHOD"], url, {name: headers[name] for name in names})


def compare(auth, request, timestamp, signature):
    request.context["timestamp"] = timestamp
    auth.region_name = REGION
    expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    if expected != signature:
        raise Refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")


def key_of(credential):
    key, _, rest = credential.partition("/")
    if key != ACCESS_KEY:
        raise Refused(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
    if rest.split("/")[1:] != [REGION, "s3", "aws4_request"]:
        raise Refused(400, "AuthorizationHeaderMalformed", "The region is wrong.")


def check_presigned(environ, headers, query, params):
    key_of(params["X-Amz-Credential"])
    kept = "&".join(part for part in query.split("&") if not part.startswith("X-Amz-Signature="))
    request = signed_request(environ, headers, params["X-Amz-SignedHeaders"].split(";"), kept)
    compare(S3SigV4QueryAuth(CREDENTIALS, "s3", REGION), request, params["X-Amz-Date"], params["X-Amz-Signature"])
    began = datetime.datetime.strptime(params["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    if datetime.datetime.now(datetime.timezone.utc) > began + datetime.timedelta(seconds=int(params["X-Amz-Expires"])):
        raise Refused(403, "AccessDenied", "Request has expired")


def check_signature(environ, headers):
    query = environ.get("QUERY_STRING", "")
    params = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    if "X-Amz-Signature" in params:
        return check_presigned(environ, headers, query, params)
    found = re.match(r"AWS4-HMAC-SHA256 Credential=([^,]+), SignedHeaders=([^,]+), Signature=(\w+)$", headers.get("authorization", ""))
    if not found:
        raise Refused(403, "AccessDenied", "Access Denied")
    key_of(found[1])
    request = signed_request(environ, headers, found[2].split(";"), query)
    return compare(S3SigV4Auth(CREDENTIALS, "s3", REGION), request, headers["x-amz-date"], found[3])


def check_body(headers, body):
    digest = hashlib.sha256(body)
    announced = headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    if announced != "UNSIGNED-PAYLOAD" and announced != digest.hexdigest():
        raise Refused(400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
    if headers.get("x-amz-checksum-sha256", "") not in ("", base64.b64encode(digest.digest()).decode()):
        raise Refused(400, "BadDigest", "The SHA256 you specified did not match the calculated checksum.")
    if headers.get("content-md5", "") not in ("", base64.b64encode(hashlib.md5(body).digest()).decode()):
        raise Refused(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")


def control(environ):
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if path.startswith("/-/fail/"):
        state["fail"] = int(path.rsplit("/", 1)[1])
    elif method == "POST":
        state["log"] = []
    return json.dumps(state["log"]).encode()


def serve(moto, environ, start_response):
    if environ["PATH_INFO"].startswith("/-/"):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [control(environ)]
    headers = headers_of(environ)
    length = int(environ.get("CONTENT_LENGTH") or 0)
    try:
        # Judged before the body is read, as real endpoints do.
        check_signature(environ, headers)
        body = environ["wsgi.input"].read(length)
        if len(body) < length:
            raise Refused(400, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length header")
        check_body(headers, body)
        with PARALLEL:
            if state["fail"] > 0:
                state["fail"] -= 1
                raise Refused(503, "SlowDown", "Reduce your request rate.")
            seen = []

            def note(status, *rest):
                seen.append(int(status.split(" ")[0]))
                return start_response(status, *rest)

            answer = b"".join(moto({**environ, "wsgi.input": io.BytesIO(body)}, note))
            state["log"].append({"method": environ["REQUEST_METHOD"], "path": environ["RAW_URI"].split("?")[0], "status": seen[0], "presigned": "X-Amz-Signature" in environ.get("QUERY_STRING", "")})
        return [answer]
    except Refused as refusal:
        body = f"<Error><Code>{refusal.code}</Code><Message>{refusal}</Message></Error>".encode()
        start_response(f"{refusal.status} {refusal.code}", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket(BUCKET, "us-east-1")
application = create_backend_app("s3")
server = make_server("127.0.0.1", 0, lambda environ, start: serve(application, environ, start), threaded=True, request_handler=Handler)
print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
os._exit(0)
