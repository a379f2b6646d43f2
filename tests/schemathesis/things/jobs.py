"""
Jobs, workflows, pictures, reports and reservations.
"""

import time

from tests.schemathesis.things.core import Core, kept, one
from tests.schemathesis.things.pictures import PNG

SMALL = {"prompt": "a red castle", "width": 64, "height": 64, "steps": 1}


class Jobs(Core):
    def job(self) -> str:
        return self.call("POST", "/jobs?wait=30", SMALL)["id"]

    def settled(self) -> str:
        """A job that its workspace knows to have ended: until then its pictures cannot be removed."""
        job = self.job()
        time.sleep(1)
        return job

    def waiting_job(self) -> str:
        """One that no node takes: it waits for a job that waits too long to matter."""
        first = self.call("POST", "/jobs", {"taskType": "HEARTBEAT", "nodeId": self.fake_node()})["id"]
        return self.call("POST", "/jobs", {"prompt": "later", "dependsOn": [first]})["id"]

    def finished(self) -> str:
        return self.once("job", self.job)

    def stream_ticket(self) -> str:
        return self.call("POST", f"/jobs/{self.finished()}/stream-ticket")["ticket"]

    def workflow(self) -> str:
        return self.call("POST", "/workflows", {"jobs": [{"key": "a", **SMALL}]})["id"]

    def asset(self) -> str:
        return self.call("POST", "/assets", data=PNG, headers={"Content-Type": "image/png"})["id"]

    def report(self) -> str:
        return self.call("POST", f"/images/img_{self.finished()[4:]}_0/report", {"reason": "other"})["id"]

    def alert(self) -> str:
        """The alert that a report raises; the gateway looks for new ones at most every few seconds."""
        image = f"img_{self.job()[4:]}_0"
        self.call("POST", f"/images/{image}/report", {"reason": "other"})
        for _ in range(20):
            found = [alert["id"] for alert in self.call("GET", "/alerts?state=raised&limit=100")["data"] if alert["subject"] == image]
            if found:
                return found[0]
            time.sleep(1)
        raise RuntimeError("a report has raised no alert")

    def allocation(self) -> str:
        return self.call("POST", "/resources/allocate", {"images": 1})["id"]

    def object_ticket(self) -> str:
        view = self.call("GET", f"/jobs/{self.finished()}")
        return view["images"][0]["url"].rsplit("/", 1)[1]


READ_JOB = one("id", lambda t: t.finished())
IMAGE = one("id", lambda t: f"img_{t.finished()[4:]}_0")
PATHS = {
    "getJob": READ_JOB,
    "deleteJob": one("id", lambda t: t.job()),
    "cancelJob": one("id", lambda t: t.waiting_job()),
    "updateJob": one("id", lambda t: t.waiting_job()),
    "retryJob": READ_JOB,
    "followJob": READ_JOB,
    "createStreamTicket": READ_JOB,
    "getJobImage": lambda t: {"id": t.finished(), "index": "0"},
    "getPoolTask": lambda t: {"id": f"{t.once('waiting job', t.waiting_job)}.0"},
    "getWorkflow": kept("id", "workflow"),
    "cancelWorkflow": one("id", lambda t: t.workflow()),
    "followWorkflow": kept("id", "workflow"),
    "getImage": IMAGE,
    "getImageMetadata": IMAGE,
    "deleteImage": one("id", lambda t: f"img_{t.settled()[4:]}_0"),
    "reportImage": IMAGE,
    "takeDownImage": one("id", lambda t: f"img_{t.job()[4:]}_0"),
    "dismissReport": one("id", lambda t: t.report()),
    "acknowledgeAlert": kept("id", "alert"),
    "resolveAlert": one("id", lambda t: t.once("alert to resolve", t.alert)),
    "restorePicture": lambda t: {"id": t.finished(), "index": "0"},
    "getAsset": kept("id", "asset"),
    "getObject": one("ticket", lambda t: t.object_ticket()),
}
BODIES = {
    "releaseResources": lambda t, b: {"id": t.allocation()},
    "submitWorkflow": lambda t, b: {"jobs": [{**job, "key": f"job-{i}"} for i, job in enumerate(b["jobs"])]},
}
