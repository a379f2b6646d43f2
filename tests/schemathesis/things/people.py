"""
Workspaces, people, keys, and who calls an operation.
"""

import time
import uuid

from tests.schemathesis.things.core import PASSWORD, Core, kept, one

# Each ends the account, or its session, that it is called with; or is for somebody who does not belong to the workspace yet.
ONCE = {"deleteAccount", "endSession", "deleteWorkspace", "transferOwnership", "acceptInvitation", "updateAccount"}
# They end a workspace, change who owns it, or are called by strangers: done by the owner of a new one.
OF_STRANGERS = {"deleteWorkspace", "transferOwnership", "acceptInvitation"}
RESTORES = {"beginRestore", "restoreRows", "restoreWorkspace", "finishRestore"}


class Person:
    def __init__(self, token: str, account: str, email: str, workspace: str):
        self.token, self.account, self.email, self.workspace = token, account, email, workspace


class People(Core):
    def __init__(self, file: str, key: str):
        super().__init__(file, key)
        self.token: tuple[float, str] = (0, "")
        self.current: dict[str, Person] = {}
        self.issued: set[str] = set()

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
                self.current[operation] = self.person(self.workspace() if operation in OF_STRANGERS else None)
            return self.current[operation]

    def apart(self) -> dict:
        """A workspace whose pool may stop and whose limits may be small."""
        return self.once("apart", self.with_key)

    def empty(self) -> dict:
        """A workspace that is being restored; a new one after each restore."""
        return self.once("empty", self.with_key)

    def with_key(self) -> dict:
        person = self.person(self.workspace())
        key = self.call("POST", "/keys", {"name": "all", "scopes": ["admin"]}, key=person.token)["key"]
        return {"workspace": person.workspace, "key": key}

    def restoring(self, operation: str) -> str:
        with self.lock:
            empty = self.empty()
            if operation != "beginRestore" and not empty.get("begun"):
                empty["begun"] = bool(self.call("POST", "/backup/restore", key=empty["key"]))
            return empty["key"]

    def credential(self, operation: str, scopes: list[str]):
        if not self.is_admin:
            return self.key
        if "NodeCertificate" in scopes:
            return self.certificate(operation)
        if operation in ONCE:
            return self.newcomer(operation).token
        if "account" in scopes:
            return self.owner()
        if operation in RESTORES:
            return self.restoring(operation)
        return self.apart()["key"] if operation == "shutdownPool" else self.key

    def done(self, operation: str) -> None:
        """The call worked: what it used up is not offered again."""
        with self.lock:
            self.current.pop(operation, None)
            if operation in ("beginRestore", "finishRestore"):
                self.kept.pop("empty", None)

    def api_key(self) -> str:
        return self.call("POST", "/keys", {"name": "made", "scopes": ["jobs:read"]})["id"]

    def invitation(self, role: str = "viewer") -> dict:
        return self.call("POST", "/invitations", {"role": role}, key=self.owner())


def token_request(things, body: dict) -> dict:
    of_workspace = {"workspaceId": "main"} if "workspaceId" in body else {}
    signer = things.once("signer", things.person).email
    if body.get("grant") == "password":
        return {"email": signer, "password": PASSWORD, **of_workspace}
    if body.get("grant") == "key":
        return {"key": things.world["adminKey"]}
    made = things.call("POST", "/auth/token", {"grant": "password", "email": signer, "password": PASSWORD}, key="")
    return {"refreshToken": made["refreshToken"], **of_workspace}


def reset_token(things) -> str:
    return things.call("POST", "/accounts/reset-links", {"email": things.once("forgetful", things.person).email})["token"]


def new_account(things, body: dict) -> dict:
    return {"email": f"{uuid.uuid4().hex[:12]}@example.com", "invitation": things.invitation()["token"]}


MAIN = one("id", lambda t: "main")
PATHS = {
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
}
BODIES = {
    "createToken": token_request,
    "revokeToken": lambda t, b: {"refreshToken": token_request(t, {"grant": "refresh"})["refreshToken"]},
    "resetPassword": lambda t, b: {"token": reset_token(t)},
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
    "finishRestore": lambda t, b: {"seq": 0, "hash": "0" * 64},
    "restoreRows": lambda t, b: {"rows": [], "jobs": []},
    "restoreWorkspace": lambda t, b: {"parts": []},
}
