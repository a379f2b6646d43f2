"""
Webhooks and hooks, all of which call the workshop.
"""

from tests.schemathesis.things.core import Core, kept, one


class Delivery(Core):
    def sink(self) -> str:
        return f"{self.world['workshop']}/sink"

    def room_for_webhooks(self) -> None:
        """A workspace has few webhooks: those of earlier cases go."""
        mine = {self.kept.get("webhook"), self.kept.get("webhook of deliveries")}
        hooks = [hook["id"] for hook in self.call("GET", "/webhooks")["data"] if hook["id"] not in mine]
        for hook in hooks if len(hooks) > 8 else []:
            self.call("DELETE", f"/webhooks/{hook}")

    def webhook(self) -> str:
        with self.lock:
            self.room_for_webhooks()
            return self.call("POST", "/webhooks", {"url": self.sink(), "events": ["images.expired"]})["id"]

    def delivery(self) -> dict[str, str]:
        """One that has arrived."""
        hook = self.once("webhook of deliveries", self.webhook)
        return {"id": hook, "deliveryId": self.call("POST", f"/webhooks/{hook}/test")["id"]}


PATHS = {
    "getWebhook": kept("id", "webhook"),
    "updateWebhook": one("id", lambda t: t.webhook()),
    "rotateWebhookSecret": kept("id", "webhook"),
    "testWebhook": kept("id", "webhook"),
    "listWebhookDeliveries": kept("id", "webhook"),
    "deleteWebhook": one("id", lambda t: t.webhook()),
    "redeliverWebhook": lambda t: t.delivery(),
}
BODIES = {
    "createWebhook": lambda t, b: t.room_for_webhooks() or {"url": t.sink()},
    "updateWebhook": lambda t, b: {"url": t.sink()} if "url" in b else {},
}
