"""
Failures that are none, each with the operations and the words that it is limited to. What is filtered is counted by reason
and printed at the end of a run.
"""

import re

JOBS = {"submitJob", "submitPoolTask", "submitWorkflow"}
DIALECTS = {
    "openaiGenerateImages",
    "openaiEditImage",
    "openaiVaryImage",
    "a1111Txt2Img",
    "a1111Img2Img",
    "kservePredict",
    "kserveInfer",
    "cogPredict",
    "cogPutPrediction",
    "replicatePredict",
    "replicatePredictWithModel",
}
# Refusals of what fits the schema, because one field does not go with another one, or with what there is: no schema can say so.
RELATIONS: list[tuple[str, set[str], re.Pattern]] = [
    ("too few steps for the strength", JOBS | DIALECTS, re.compile("steps × strength")),
    ("a mask or a picture is missing, or too much", JOBS | DIALECTS, re.compile("takes no mask|needs a mask|needs initImage|works only together")),
    ("of SDXL or SD 3 alone", JOBS, re.compile(r"works only with (SDXL|SD 3)")),
    ("the sampler does not have it", JOBS | DIALECTS, re.compile("does not exist for the sampler")),
    ("a cycle", {"submitWorkflow"}, re.compile("form a cycle")),
    ("times that do not go together", {"allocateResources", "createKey", "updateKey"}, re.compile("must be in the future|endsAt|startsAt")),
    ("more than is left", {"allocateResources"}, re.compile("left; this needs")),
    ("rows out of their chain", {"restoreRows", "finishRestore"}, re.compile("does not fit the chain|the backup names row")),
    ("it was taken down", {"getImage", "getImageMetadata", "getJobImage", "restorePicture", "deleteImage", "reportImage"}, re.compile("was taken down")),
    ("the body names another id", {"cogPutPrediction"}, re.compile("is not that of the path")),
]


def filter_of(operation: str, failure, response, pictured: bool) -> str | None:
    """Why a failure does not count; None when it does."""
    kind = type(failure).__name__
    # The bytes of a picture are no text, which is what Schemathesis holds a file against, though they are what was asked for.
    if kind == "AcceptedNegativeData" and pictured:
        return "a picture where Schemathesis expects text"
    # A key is revoked, not forgotten: its uses are on record, and whoever looks at it sees since when.
    if kind == "UseAfterFree" and operation == "getKey" and '"revokedAt":"' in response.text:
        return "a revoked key is still shown"
    if kind != "RejectedPositiveData" or response.status_code not in (400, 422, 451):
        return None
    for why, operations, words in RELATIONS:
        if operation in operations and words.search(response.text):
            return why
    return None
