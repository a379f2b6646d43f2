"""
Things to call operations with, made through the API when they are asked for.

`PATHS` and `BODIES` of each feature say, for an operation, which generated values stand for things that have to be there:
ids, tokens, passwords, models, pictures, times to come. Everything else stays as it was generated.
"""

from tests.schemathesis.things import delivery, dialects, jobs, machines, people
from tests.schemathesis.things.values import real

FEATURES = (people, machines, jobs, delivery, dialects)
PATHS = {name: make for feature in FEATURES for name, make in feature.PATHS.items()}
BODIES = {name: make for feature in FEATURES for name, make in feature.BODIES.items()}


class Things(people.People, machines.Machines, jobs.Jobs, delivery.Delivery, dialects.Dialects):
    def path(self, operation: str) -> dict[str, str]:
        maker = PATHS.get(operation)
        return {} if maker is None else maker(self)

    def body(self, operation: str, body):
        if isinstance(body, dict):
            body = real(self, body)
        maker = BODIES.get(operation)
        return body if maker is None or not isinstance(body, dict) else {**body, **maker(self, body)}

    def fresh(self, operation: str, authorization: str) -> str:
        if operation != "rotateNodeKey" or authorization not in self.issued:
            return super().fresh(operation, authorization)
        token = f"Bearer {self.certificate(operation)}"
        self.issued.add(token)
        return token

    def done(self, operation: str) -> None:
        super().done(operation)
        with self.lock:
            # Its node has another key now.
            if operation == "rotateNodeKey":
                self.kept.pop("node of rotateNodeKey", None)
