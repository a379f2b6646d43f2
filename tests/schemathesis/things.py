"""
Things to call operations with, made through the API when they are asked for.

`PATHS` and `BODIES` say, for an operation, which generated values stand for things that have to be there: ids, tokens,
passwords, models, pictures, times to come. Everything else stays as it was generated.
"""

import base64
import json
import os
import secrets
import struct
import threading
import time
import uuid
import zlib
from datetime import datetime, timedelta, timezone

import requests

MODEL = "storybook"
# Pictures of mock nodes cost time by their area; what is refused for its size is refused before that.
SIDE = 128
PASSWORD = "correct horse battery"
# They stop the machines, empty the workspace or close it: done in a workspace of their own.
APART = {
    "shutdownPool",
    "setWorkspaceLimits",
    "beginRestore",
    "restoreRows",
    "finishRestore",
    "restorePicture",
    "transferOwnership",
    "deleteWorkspace",
}
# Each ends the account, or its session, that it is called with.
ONCE = {"deleteAccount", "endSession", "deleteWorkspace", "transferOwnership", "acceptInvitation", "updateAccount"}


def png(side: int = 64) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((x * 3) % 256 for x in range(side * 3)) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


PNG = png()
PNG_BASE64 = base64.b64encode(PNG).decode()
PNG_URL = f"data:image/png;base64,{PNG_BASE64}"


class Person:
    def __init__(self, token: str, account: str, email: str, workspace: str):
        self.token, self.account, self.email, self.workspace = token, account, email, workspace


class Things:
    def __init__(self, file: str, key: str):
        with open(file, encoding="utf8") as source:
            self.world = json.load(source)
        self.key = key
        self.lock = threading.RLock()
        self.session = requests.Session()
        self.kept: dict[str, object] = {}
        self.token: tuple[float, str] = (0, "")
        self.current: dict[str, Person] = {}
        self.issued: set[str] = set()
        self.calls = 0

    @property
    def is_admin(self) -> bool:
        return self.key == self.world["adminKey"]

    def address(self) -> str:
        """One caller at one address would be refused for having failed, or signed in, too often."""
        return ".".join(["10", *(str(secrets.randbelow(250)) for _ in range(3))])

    def call(self, method: str, path: str, body=None, key=None, version="/api/v1", **more):
        response = self.session.request(
            method,
            f"{self.world['url']}{version}{path}",
            headers={
                "CF-Connecting-IP": self.address(),
                **({} if key == "" else {"Authorization": f"Bearer {key or self.world['adminKey']}"}),
                **more.pop("headers", {}),
            },
            **({} if body is None else {"json": body}),
            **more,
            timeout=60,
        )
        if response.status_code >= 300:
            raise RuntimeError(f"{method} {path}: {response.status_code} {response.text[:300]}")
        return response.json() if response.text else {}

    def once(self, name: str, make):
        """The same thing each time it is asked for."""
        with self.lock:
            if name not in self.kept:
                self.kept[name] = make()
            return self.kept[name]

    # --- who asks -------------------------------------------------------------------------------------------------

    def owner(self) -> str:
        """An access token of the workspace's owner."""
        with self.lock:
            made, token = self.token
            if time.time() - made > 200:
                sign_in = {"grant": "password", "email": self.world["email"], "password": self.world["password"]}
                self.token = (time.time(), self.call("POST", "/auth/token", sign_in, key="")["accessToken"])
            return self.token[1]

    def person(self, workspace: str | None = None, role: str = "viewer") -> Person:
        """Somebody new: a member of the workspace, or the owner of a new one."""
        email = f"{uuid.uuid4().hex[:12]}@example.com"
        if workspace is None:
            link = self.call("POST", "/invitations", {"role": role, "email": email}, key=self.owner())
        else:
            link = self.call("POST", "/invitations/owner-link", {"workspaceId": workspace})
        made = self.call("POST", "/accounts", {"email": email, "password": PASSWORD, "invitation": link["token"]}, key="")
        return Person(made["accessToken"], made["account"]["id"], email, workspace or "main")

    def heir(self) -> str:
        """An admin of the workspace that somebody hands over."""
        email = f"{uuid.uuid4().hex[:12]}@example.com"
        link = self.call("POST", "/invitations", {"role": "admin", "email": email}, key=self.newcomer("transferOwnership").token)
        return self.call("POST", "/accounts", {"email": email, "password": PASSWORD, "invitation": link["token"]}, key="")["account"]["id"]

    def workspace(self) -> str:
        return self.call("POST", "/workspaces", {"name": "Apart"})["id"]

    def fresh(self, operation: str, authorization: str) -> str:
        """The credential of somebody who is still there, in place of that of somebody who has gone."""
        if operation not in ONCE or authorization not in self.issued:
            return authorization
        token = f"Bearer {self.newcomer(operation).token}"
        self.issued.add(token)
        return token

    def newcomer(self, operation: str) -> Person:
        """Who calls an operation that ends his account; a new one once it did."""
        with self.lock:
            if operation not in self.current:
                apart = operation in ("deleteWorkspace", "transferOwnership")
                self.current[operation] = self.person(self.workspace() if apart else None)
            return self.current[operation]

    def apart(self) -> dict:
        def make():
            person = self.person(self.workspace())
            key = self.call("POST", "/keys", {"name": "apart", "scopes": ["admin"]}, key=person.token)["key"]
            return {"workspace": person.workspace, "key": key}

        return self.once("apart", make)

    def empty(self) -> dict:
        """A workspace that is being restored; a new one after each restore."""
        def make():
            person = self.person(self.workspace())
            key = self.call("POST", "/keys", {"name": "empty", "scopes": ["admin"]}, key=person.token)["key"]
            return {"key": key}

        return self.once("empty", make)

    def credential(self, operation: str, scopes: list[str]):
        if "NodeCertificate" in scopes:
            return self.once("certificate", lambda: self.enrol()["certificate"]) if self.is_admin else self.key
        if not self.is_admin:
            return self.key
        if operation in ONCE:
            return self.newcomer(operation).token
        if "account" in scopes:
            return self.owner()
        if operation in ("beginRestore", "restoreRows", "finishRestore"):
            empty = self.empty()
            if operation != "beginRestore" and not empty.get("begun"):
                empty["begun"] = bool(self.call("POST", "/backup/restore", key=empty["key"]))
            return empty["key"]
        if operation in ("shutdownPool", "restorePicture"):
            return self.apart()["key"]
        return self.key

    def done(self, operation: str) -> None:
        """The call worked: what it used up is not offered again."""
        with self.lock:
            self.current.pop(operation, None)
            if operation in ("beginRestore", "finishRestore"):
                self.kept.pop("empty", None)

    # --- what is there --------------------------------------------------------------------------------------------

    def job(self) -> str:
        return self.call("POST", "/jobs?wait=30", {"prompt": "a red castle", "width": 64, "height": 64, "steps": 1})["id"]

    def waiting_job(self) -> str:
        """One that no node takes: it waits for a job that waits too long to matter."""
        first = self.call("POST", "/jobs", {"taskType": "HEARTBEAT", "nodeId": self.fake_node()})["id"]
        return self.call("POST", "/jobs", {"prompt": "later", "dependsOn": [first]})["id"]

    def fake_node(self) -> str:
        return self.once("fake node", lambda: self.enrol()["nodeId"])

    def finished(self) -> str:
        return self.once("job", self.job)

    def stream_ticket(self) -> str:
        return self.call("POST", f"/jobs/{self.finished()}/stream-ticket")["ticket"]

    def workflow(self) -> str:
        return self.call("POST", "/workflows", {"jobs": [{"key": "a", "prompt": "a red castle", "width": 64, "height": 64, "steps": 1}]})["id"]

    def asset(self) -> str:
        return self.call("POST", "/assets", data=PNG, headers={"Content-Type": "image/png"})["id"]

    def enrol(self, approval: bool = False) -> dict:
        token = self.call("POST", "/join-tokens", {"approval": approval})["token"]
        key = base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
        return self.call("POST", "/nodes", {"token": token, "publicKey": key, "name": "made up"}, key="")

    def worker(self) -> str:
        return self.world["workers"][0]

    def keep_drawing(self) -> None:
        """Puts the machine that draws back into service now and then, as whoever runs it would."""
        with self.lock:
            self.calls += 1
            due = self.calls % 50 == 0
        if due:
            self.call("POST", f"/supervisor/workers/{self.worker()}/resume")

    def spare_worker(self) -> str:
        """Not the one that draws the pictures."""
        return self.world["workers"][1]

    def room_for_webhooks(self) -> None:
        """A workspace has few webhooks: those of earlier cases go."""
        hooks = [hook["id"] for hook in self.call("GET", "/webhooks")["data"]]
        for hook in hooks if len(hooks) > 10 else []:
            if hook != self.kept.get("webhook"):
                self.call("DELETE", f"/webhooks/{hook}")

    def webhook(self) -> str:
        with self.lock:
            self.room_for_webhooks()
        return self.call("POST", "/webhooks", {"url": "https://example.com/hook", "enabled": False})["id"]

    def delivery(self) -> dict[str, str]:
        hook = self.webhook()
        self.call("POST", f"/webhooks/{hook}/test")
        return {"id": hook, "deliveryId": self.call("GET", f"/webhooks/{hook}/deliveries")["data"][0]["id"]}

    def prediction(self) -> str:
        return self.call("POST", "/predictions", {"input": {"prompt": "a red castle", "width": 64, "height": 64}}, version="/v1")["id"]

    def report(self) -> str:
        return self.call("POST", f"/images/img_{self.finished()[4:]}_0/report", {"reason": "other"})["id"]

    def api_key(self) -> str:
        return self.call("POST", "/keys", {"name": "made", "scopes": ["jobs:read"]})["id"]

    def invitation(self, role: str = "viewer") -> dict:
        return self.call("POST", "/invitations", {"role": role}, key=self.owner())

    def allocation(self) -> str:
        return self.call("POST", "/resources/allocate", {"images": 1})["id"]

    def object_ticket(self) -> str:
        view = self.call("GET", f"/jobs/{self.finished()}")
        return view["images"][0]["url"].rsplit("/", 1)[1]

    # --- what operations get --------------------------------------------------------------------------------------

    def path(self, operation: str) -> dict[str, str]:
        maker = PATHS.get(operation)
        return {} if maker is None else maker(self)

    def body(self, operation: str, body):
        if isinstance(body, dict):
            body = real(self, body)
        maker = BODIES.get(operation)
        return body if maker is None or not isinstance(body, dict) else {**body, **maker(self, body)}


def soon(days: int = 1) -> str:
    return (datetime.now(timezone.utc) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def coherent(value: dict) -> dict:
    """What fields ask of each other, and no schema says: a mask needs a picture and a task that takes it."""
    if "prompt" in value and "initImage" in value:
        task = "inpaint" if "maskImage" in value else "img2img"
        left = {} if "maskImage" in value else {name: value[name] for name in value if name.startswith("mask")}
        return {**{name: inner for name, inner in value.items() if name not in left}, "task": task}
    if "prompt" in value and "taskType" not in value or value.get("taskType") == "GENERAL":
        return {name: inner for name, inner in value.items() if not name.startswith("mask") and name not in ("task", "strength", "pasteBack")}
    if value.get("partial_images") is not None and value.get("stream") is not True:
        return {**value, "partial_images": None}
    return value


def real(things: Things, value, key: str = ""):
    """Names of things become names of things that are there; sizes and counts stay small."""
    if isinstance(value, dict):
        if "asset" in value or ("job" in value and set(value) <= {"job", "index"}):
            return {"asset": things.once("asset", things.asset)}
        if "bytesBase64Encoded" in value:
            return {"bytesBase64Encoded": PNG_BASE64}
        # What looks after machines runs on the spare one: failures put a machine out of service.
        value = coherent(value)
        spare = {"nodeId": things.spare_worker()} if value.get("taskType") in CARE else {}
        return {**{name: real(things, inner, name) for name, inner in value.items()}, **spare}
    if key == "dependsOn" and isinstance(value, list):
        return [things.finished()] if value else []
    if key in ("init_images",) and isinstance(value, list):
        return [PNG_BASE64]
    if isinstance(value, list):
        return [real(things, inner, "") for inner in value]
    if isinstance(value, str):
        text = TEXTS.get(key)
        return value if text is None else text(things)
    if key == "keep":
        # A model that is moved away is gone from the machine that draws.
        return True
    if key in STRENGTHS and isinstance(value, (int, float)) and not isinstance(value, bool):
        # A small part of few steps is no step at all.
        return max(0.5, value)
    if isinstance(value, int) and not isinstance(value, bool) and key in NUMBERS:
        low, high = NUMBERS[key]
        small = max(low, min(high, value))
        return small - small % 8 if key in ("width", "height") else small
    return value


STRENGTHS = ("strength", "prompt_strength", "denoising_strength")
CARE = ("RESEARCH", "INGEST", "DISCOVERY", "HEARTBEAT")
TEXTS = {
    "model": lambda t: MODEL,
    "version": lambda t: MODEL,
    "refiner_checkpoint": lambda t: MODEL,
    "sd_model_checkpoint": lambda t: MODEL,
    "nodeId": lambda t: t.spare_worker(),
    "preferNode": lambda t: t.worker(),
    "from": lambda t: t.spare_worker(),
    "to": lambda t: t.world["workers"][2],
    "expiresAt": lambda t: soon(3),
    "startsAt": lambda t: soon(1),
    "endsAt": lambda t: soon(2),
    "email": lambda t: f"{uuid.uuid4().hex[:12]}@example.com",
    "webhook": lambda t: "https://example.com/hook",
    "scheduler": lambda t: "ddim",
    "sampler_name": lambda t: "DDIM",
    "sampler_index": lambda t: "DDIM",
    "image": lambda t: PNG_URL,
    "mask": lambda t: PNG_URL,
    "image_url": lambda t: PNG_URL,
}
# Kept small: a mock node draws in earnest.
NUMBERS = {
    "width": (64, SIDE),
    "height": (64, SIDE),
    "n": (1, 2),
    "num_outputs": (1, 2),
    "batch_size": (1, 2),
    "n_iter": (1, 1),
    "sampleCount": (1, 2),
    "steps": (4, 6),
    "num_inference_steps": (4, 6),
    "repeat": (1, 1),
}


def one(name: str, make):
    return lambda things: {name: make(things)}


def kept(name: str, thing: str):
    """The same thing for every case: nothing happens to it."""
    return lambda things: {name: things.once(thing, getattr(things, thing))}


READ_JOB = one("id", lambda t: t.finished())
WORKER = one("id", lambda t: t.worker())
SPARE = one("id", lambda t: t.spare_worker())
IMAGE = one("id", lambda t: f"img_{t.finished()[4:]}_0")
MAIN = one("id", lambda t: "main")
MODEL_PATH = one("model", lambda t: MODEL)
PATHS = {
    "getJob": READ_JOB,
    "deleteJob": one("id", lambda t: t.job()),
    "cancelJob": one("id", lambda t: t.waiting_job()),
    "retryJob": READ_JOB,
    "followJob": READ_JOB,
    "createStreamTicket": READ_JOB,
    "getJobImage": lambda t: {"id": t.finished(), "index": "0"},
    "getWorkflow": kept("id", "workflow"),
    "cancelWorkflow": one("id", lambda t: t.workflow()),
    "followWorkflow": kept("id", "workflow"),
    "getImage": IMAGE,
    "getImageMetadata": IMAGE,
    "deleteImage": one("id", lambda t: f"img_{t.job()[4:]}_0"),
    "reportImage": IMAGE,
    "takeDownImage": one("id", lambda t: f"img_{t.job()[4:]}_0"),
    "dismissReport": one("id", lambda t: t.report()),
    "updateJob": one("id", lambda t: t.waiting_job()),
    "getAsset": kept("id", "asset"),
    "getObject": one("ticket", lambda t: t.object_ticket()),
    "approveNode": one("id", lambda t: t.enrol(approval=True)["nodeId"]),
    "banNode": one("id", lambda t: t.enrol()["nodeId"]),
    "revokeJoinToken": one("id", lambda t: t.call("POST", "/join-tokens", {})["id"]),
    "getWorkerTelemetry": WORKER,
    "listWorkerTasks": WORKER,
    "getWorkerHistory": WORKER,
    "getWorkerMetrics": WORKER,
    "getWorker": WORKER,
    "pauseWorker": SPARE,
    "resumeWorker": SPARE,
    "drainWorker": SPARE,
    "terminateWorker": one("id", lambda t: t.world["workers"][2]),
    "getWebhook": kept("id", "webhook"),
    "updateWebhook": kept("id", "webhook"),
    "rotateWebhookSecret": kept("id", "webhook"),
    "testWebhook": kept("id", "webhook"),
    "listWebhookDeliveries": kept("id", "webhook"),
    "deleteWebhook": one("id", lambda t: t.webhook()),
    "redeliverWebhook": lambda t: t.delivery(),
    "failAgent": one("id", lambda t: f"{t.spare_worker()}.0"),
    "getPoolTask": one("id", lambda t: f"{t.finished()}.0"),
    "endSession": one("id", lambda t: t.call("GET", "/auth/sessions", key=t.newcomer("endSession").token)["data"][0]["id"]),
    "getKey": kept("id", "api_key"),
    "updateKey": kept("id", "api_key"),
    "revokeKey": one("id", lambda t: t.api_key()),
    "rotateKey": one("id", lambda t: t.api_key()),
    "getWorkspace": MAIN,
    "updateWorkspace": MAIN,
    "deleteWorkspace": one("id", lambda t: t.newcomer("deleteWorkspace").workspace),
    "setWorkspaceLimits": one("id", lambda t: t.apart()["workspace"]),
    "listMembers": MAIN,
    "setMemberRole": lambda t: {"id": "main", "accountId": t.once("member", t.person).account},
    "removeMember": lambda t: {"id": "main", "accountId": t.person().account},
    "transferOwnership": one("id", lambda t: t.newcomer("transferOwnership").workspace),
    "revokeInvitation": one("id", lambda t: t.invitation()["id"]),
    "dialectGetModel": MODEL_PATH,
    "kservePredict": MODEL_PATH,
    "kserveModel": MODEL_PATH,
    "kserveModelReady": MODEL_PATH,
    "kserveInfer": MODEL_PATH,
    "cogGetPrediction": kept("id", "prediction"),
    "cogCancelPrediction": one("id", lambda t: t.prediction()),
    "replicateGetPrediction": kept("id", "prediction"),
    "replicateCancelPrediction": one("id", lambda t: t.prediction()),
    "cogPutPrediction": one("id", lambda t: uuid.uuid4().hex),
    "replicatePredictWithModel": lambda t: {"owner": "limner", "name": MODEL},
}


def token_request(things: Things, body: dict) -> dict:
    if body.get("grant") == "password":
        return {"email": things.once("signer", things.person).email, "password": PASSWORD, **({"workspaceId": "main"} if "workspaceId" in body else {})}
    if body.get("grant") == "key":
        return {"key": things.world["adminKey"]}
    made = things.call("POST", "/auth/token", {"grant": "password", "email": things.once("signer", things.person).email, "password": PASSWORD}, key="")
    return {"refreshToken": made["refreshToken"], **({"workspaceId": "main"} if "workspaceId" in body else {})}


def new_account(things: Things, body: dict) -> dict:
    return {"email": f"{uuid.uuid4().hex[:12]}@example.com", "invitation": things.invitation()["token"]}


def enrol_request(things: Things, body: dict) -> dict:
    return {
        "token": things.call("POST", "/join-tokens", {})["token"],
        "publicKey": base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("="),
    }


def text_tensor(name: str, value: str) -> dict:
    return {"name": name, "shape": [1], "datatype": "BYTES", "data": [value]}


BODIES = {
    "createToken": token_request,
    "revokeToken": lambda t, b: {"refreshToken": token_request(t, {"grant": "refresh"})["refreshToken"]},
    "resetPassword": lambda t, b: {"token": t.call("POST", "/accounts/reset-links", {"email": t.once("forgetful", t.person).email})["token"]},
    "createAccount": new_account,
    "updateAccount": lambda t, b: {"password": PASSWORD},
    "deleteAccount": lambda t, b: {"password": PASSWORD},
    "createResetLink": lambda t, b: {"email": t.once("forgetful", t.person).email},
    "deleteWorkspace": lambda t, b: {"confirm": t.newcomer("deleteWorkspace").workspace, "password": PASSWORD},
    "transferOwnership": lambda t, b: {"accountId": t.heir()},
    "createWorkspace": lambda t, b: {"id": f"w{uuid.uuid4().hex[:12]}"} if "id" in b else {},
    "setMemberRole": lambda t, b: {"role": "viewer"} if b.get("role") == "owner" else {},
    "createInvitation": lambda t, b: {"role": "viewer"} if b.get("role") == "owner" else {},
    "createOwnerLink": lambda t, b: {"workspaceId": t.workspace()},
    "previewInvitation": lambda t, b: {"invitation": t.invitation()["token"]},
    "acceptInvitation": lambda t, b: {"invitation": t.invitation()["token"]},
    "enrolNode": enrol_request,
    "releaseResources": lambda t, b: {"id": t.allocation()},
    "createWebhook": lambda t, b: t.room_for_webhooks() or {"url": "https://example.com/hook"},
    "updateWebhook": lambda t, b: {"url": "https://example.com/hook"} if "url" in b else {},
    "finishRestore": lambda t, b: {"seq": 0, "hash": "0" * 64},
    "submitWorkflow": lambda t, b: {"jobs": [{**job, "key": f"job-{i}"} for i, job in enumerate(b["jobs"])]},
    "restoreRows": lambda t, b: {"rows": [], "jobs": []},
    "a1111Txt2Img": lambda t, b: {"scheduler": "Automatic"} if "scheduler" in b else {},
    "a1111Img2Img": lambda t, b: {"scheduler": "Automatic"} if "scheduler" in b else {},
    "kserveInfer": lambda t, b: {"parameters": {}, "inputs": [text_tensor("prompt", "a red castle")]},
    "openaiEditImage": lambda t, b: {"image": [PNG_URL] if isinstance(b.get("image"), list) else PNG} if "image" in b or "image[]" in b else {},
    "openaiVaryImage": lambda t, b: {"image": PNG},
    "cogPredict": lambda t, b: {"id": uuid.uuid4().hex} if "id" in b else {},
    "replicatePredict": lambda t, b: {"id": uuid.uuid4().hex} if "id" in b else {},
    "replicatePredictWithModel": lambda t, b: {"id": uuid.uuid4().hex} if "id" in b else {},
    "a1111PngInfo": lambda t, b: {"image": PNG_BASE64},
}
