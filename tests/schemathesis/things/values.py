"""
Generated values that stand for things: names become names of what is there, sizes and counts stay small.
"""

from datetime import datetime, timedelta, timezone
import uuid

from tests.schemathesis.things.core import MODEL
from tests.schemathesis.things.pictures import PNG_BASE64, PNG_URL

# Pictures of mock nodes cost time by their area; what is refused for its size is refused before that.
SIDE = 128


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


def real(things, value, key: str = ""):
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
    "webhook": lambda t: t.sink(),
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
