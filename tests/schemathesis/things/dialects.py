"""
Requests in the words of others.
"""

import uuid

from tests.schemathesis.things.core import MODEL, Core, kept, one
from tests.schemathesis.things.pictures import PNG, PNG_BASE64, PNG_URL


class Dialects(Core):
    def prediction(self) -> str:
        asked = {"input": {"prompt": "a red castle", "width": 64, "height": 64}}
        return self.call("POST", "/predictions", asked, version="/v1")["id"]


def text_tensor(name: str, value: str) -> dict:
    return {"name": name, "shape": [1], "datatype": "BYTES", "data": [value]}


def named_anew(_things, body: dict) -> dict:
    return {"id": uuid.uuid4().hex} if "id" in body else {}


def known_scheduler(_things, body: dict) -> dict:
    return {"scheduler": "Automatic"} if "scheduler" in body else {}


def to_edit(_things, body: dict) -> dict:
    if "image" not in body and "image[]" not in body:
        return {}
    return {"image": [PNG_URL] if isinstance(body.get("image"), list) else PNG}


MODEL_PATH = one("model", lambda t: MODEL)
PATHS = {
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
BODIES = {
    # What a second pass may be depends on the size of the first one and on the strength.
    "a1111Txt2Img": lambda t, b: known_scheduler(t, b) | ({"enable_hr": False} if "enable_hr" in b else {}),
    "a1111Img2Img": known_scheduler,
    "a1111PngInfo": lambda t, b: {"image": PNG_BASE64},
    "a1111ExtraSingle": lambda t, b: {"image": PNG_BASE64, "upscaler_1": "None"},
    "a1111ExtraBatch": lambda t, b: {"imageList": [{"data": PNG_BASE64}], "upscaler_1": "None"},
    "kserveInfer": lambda t, b: {"parameters": {}, "inputs": [text_tensor("prompt", "a red castle")]},
    "openaiEditImage": to_edit,
    "openaiVaryImage": lambda t, b: {"image": PNG},
    "cogPredict": named_anew,
    "replicatePredict": named_anew,
    "replicatePredictWithModel": named_anew,
}
