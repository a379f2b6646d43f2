"""
What Schemathesis cannot know of a gateway: who may call which operation, and the ids of things that are there.

Positive cases get the ids of real things, so that they reach the code behind the look-up; negative cases keep what was
made up for the part of the request that is meant to be wrong. Each call is written to a file, from which run.ts counts.
"""

import json
import os
import threading
import uuid

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import StatefulPhaseData

from tests.schemathesis.filters import filter_of
from tests.schemathesis.things import Things
from tests.schemathesis.things.pictures import PNG

things = Things(os.environ["LIMNER_WORLD"], os.environ["LIMNER_KEY"])
calls = open(os.environ["LIMNER_CALLS"], "a", encoding="utf8")
lock = threading.Lock()
SCOPES: dict[str, list[str]] = {}
seen_ids: set[str] = set()
# Positive cases that were given the bytes of a real picture: Schemathesis takes them for negative ones afterwards.
pictured: set[str] = set()
PICTURES = {"createAsset", "restorePicture", "uploadResult"}


def operation_id(operation) -> str:
    return operation.definition.raw.get("operationId", operation.label)


@schemathesis.auth(refresh_interval=None, retry_on=[])
class Credentials:
    """The key of the run; people's own operations take a token, those of nodes a certificate."""

    def get(self, case, ctx):
        return things.credential(operation_id(ctx.operation), SCOPES.get(operation_id(ctx.operation), []))

    def set(self, case, data, ctx):
        if data is not None:
            case.headers = case.headers or {}
            case.headers["Authorization"] = f"Bearer {data}"
            things.issued.add(f"Bearer {data}")


LOCATIONS = [ParameterLocation.PATH, ParameterLocation.QUERY, ParameterLocation.HEADER, ParameterLocation.COOKIE]


def is_negative(case, location) -> bool:
    if case.meta is None:
        return False
    # What is wrong with a body is not always said of the body.
    if location == ParameterLocation.BODY and case.meta.generation.mode.is_negative:
        return not any(case.meta.is_negative_at(each) for each in LOCATIONS)
    return case.meta.is_negative_at(location)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    why = filter_of(operation_id(case.operation), failure, response, case.id in pictured)
    if why is None:
        return True
    with lock:
        calls.write(json.dumps({"operation": operation_id(case.operation), "filtered": why}) + "\n")
        calls.flush()
    return False


@schemathesis.hook
def after_load_schema(context, schema):
    for operation in schema.get_all_operations():
        ok = operation.ok()
        security = ok.definition.raw.get("security") or []
        SCOPES[operation_id(ok)] = [scope for each in security for name, scopes in each.items() for scope in (scopes or [name])]


def set_headers(name, case) -> None:
    """What headers stand for is there; nothing of it where a header is meant to be wrong."""
    if name == "uploadResult":
        case.headers["x-content-sha256"] = things.announced()["sha256"]
    for header in list(case.headers):
        # Made-up keys come twice, with another body the second time, and tickets stand for nothing.
        if header.lower() == "idempotency-key":
            case.headers[header] = uuid.uuid4().hex
        elif header.lower() == "limner-allocation":
            case.headers[header] = things.allocation()


def in_scenario(case) -> bool:
    return case.meta is not None and isinstance(case.meta.phase.data, StatefulPhaseData)


def set_path(name, case) -> None:
    """Ids of things that are there: those that an earlier step of the scenario has made, else others."""
    if not in_scenario(case) or not all(str(value) in seen_ids for value in case.path_parameters.values()):
        case.path_parameters = {**case.path_parameters, **things.path(name)}


def set_body(name, case) -> None:
    if isinstance(case.body, dict) and name == "cogPutPrediction" and "id" in case.body:
        case.body = {**case.body, "id": case.path_parameters["id"]}
    if name in PICTURES or case.media_type == "multipart/form-data":
        pictured.add(case.id)
    if name in ("uploadResult", "restorePicture"):
        case.body = things.once("result", things.result)["picture"]
    elif name in PICTURES:
        case.body = PNG
    else:
        case.body = things.body(name, case.body)


@schemathesis.hook
def before_call(context, case, kwargs):
    name = operation_id(case.operation)
    # One caller at one address would be refused for having failed too often.
    case.headers = case.headers or {}
    case.headers["CF-Connecting-IP"] = things.address()
    if case.path_parameters and not is_negative(case, ParameterLocation.PATH):
        set_path(name, case)
    if not is_negative(case, ParameterLocation.HEADER):
        set_headers(name, case)
    if "Authorization" in case.headers:
        case.headers["Authorization"] = things.fresh(name, case.headers["Authorization"])
    if case.query and "ticket" in case.query and not is_negative(case, ParameterLocation.QUERY):
        case.query = {**case.query, "ticket": things.stream_ticket()}
    # Of negative files and forms it is not said which part is meant to be wrong.
    untold = case.meta is not None and case.meta.generation.mode.is_negative and case.media_type != "application/json"
    if not untold and not is_negative(case, ParameterLocation.BODY):
        set_body(name, case)


def collect(value, depth=0):
    if isinstance(value, dict) and depth < 5:
        for key, inner in value.items():
            if key in ("id", "name") and isinstance(inner, str):
                seen_ids.add(inner)
            collect(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value[:20]:
            collect(inner, depth + 1)


@schemathesis.hook
def after_call(context, case, response):
    try:
        body = response.json()
    except Exception:
        body = None
    # What a scenario has made is its own: machines, keys and pictures that others need are not.
    if case.method.upper() == "POST" and response.status_code in (201, 202) and in_scenario(case):
        collect(body)
    things.keep_drawing()
    if response.status_code < 300:
        things.done(operation_id(case.operation))
    positive = case.meta is not None and (case.meta.generation.mode.is_positive or case.id in pictured)
    with lock:
        calls.write(
            json.dumps(
                {
                    "operation": operation_id(case.operation),
                    "phase": case.meta.phase.name.value if case.meta else "none",
                    "positive": positive,
                    "status": response.status_code,
                    "detail": str(body)[:300] if response.status_code >= 400 else "",
                }
            )
            + "\n"
        )
        calls.flush()
