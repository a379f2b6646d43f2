"""
Nodes: enrolled, certified, with results of theirs; and the machines that draw.
"""

import hashlib

from tests.schemathesis.things.core import Core, one


class Machines(Core):
    def __init__(self, file: str, key: str):
        super().__init__(file, key)
        self.calls = 0

    def enrol(self, approval: bool = False) -> dict:
        """A node of which the workshop keeps the private key."""
        token = self.call("POST", "/join-tokens", {"approval": approval})["token"]
        public = self.ask_workshop("/identity", {})["publicKey"]
        made = self.call("POST", "/nodes", {"token": token, "publicKey": public, "name": "made up"}, key="")
        return {**made, "publicKey": public}

    def certificate(self, operation: str) -> str:
        return self.once(f"node of {operation}", self.enrol)["certificate"]

    def rotation(self) -> dict:
        """The request by which a new node takes another key."""
        node = self.once("node of rotateNodeKey", self.enrol)
        return self.ask_workshop("/rotation", {"nodeId": node["nodeId"], "publicKey": node["publicKey"]})

    def fake_node(self) -> str:
        return self.once("fake node", lambda: self.enrol()["nodeId"])

    def worker(self) -> str:
        return self.world["workers"][0]

    def spare_worker(self) -> str:
        """Not the one that draws the pictures."""
        return self.world["workers"][1]

    def keep_drawing(self) -> None:
        """Puts the machine that draws back into service now and then, as whoever runs it would."""
        with self.lock:
            self.calls += 1
            due = self.calls % 50 == 0
        if due:
            self.call("POST", f"/supervisor/workers/{self.worker()}/resume")

    def result(self) -> dict:
        """A ticket for a picture that is the result already, and the picture: sending it again is accepted."""
        job = self.finished()
        view = self.call("GET", f"/jobs/{job}")
        image = view["images"][0]
        grant = [entry for entry in view["history"] if entry["type"] == "assigned"][-1]
        picture = self.call("GET", f"/jobs/{job}/images/0")
        asked = {
            "job": job,
            "epoch": grant["epoch"],
            "node": grant["nodeId"],
            "width": image["width"],
            "height": image["height"],
            "seed": image["seed"],
        }
        return {"ticket": self.ask_workshop("/ticket", asked)["ticket"], "picture": picture}

    def announced(self) -> dict:
        """What a direct upload says of its picture."""
        picture = self.once("result", self.result)["picture"]
        return {"sha256": hashlib.sha256(picture).hexdigest(), "bytes": len(picture), "contentType": "image/png"}


WORKER = one("id", lambda t: t.worker())
SPARE = one("id", lambda t: t.spare_worker())
TICKET = one("ticket", lambda t: t.once("result", t.result)["ticket"])
PATHS = {
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
    "failAgent": one("id", lambda t: f"{t.spare_worker()}.0"),
    "uploadResult": TICKET,
    "resultUploadUrl": TICKET,
    "resultUploadDone": TICKET,
}
BODIES = {
    "enrolNode": lambda t, b: {
        "token": t.call("POST", "/join-tokens", {})["token"],
        "publicKey": t.ask_workshop("/identity", {})["publicKey"],
    },
    "rotateNodeKey": lambda t, b: t.rotation(),
    "resultUploadUrl": lambda t, b: t.announced(),
    "resultUploadDone": lambda t, b: t.announced(),
}
