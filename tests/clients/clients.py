"""Unmodified Python clients against a gateway; prints what passed as JSON, fails on the first thing that is wrong."""
import base64, io, json, os
from urllib.parse import urlparse

import requests
import webuiapi
from openai import OpenAI
from PIL import Image

URL, KEY = os.environ["LIMNER_URL"], os.environ["LIMNER_API_KEY"]
PROMPT = "a red castle in the mountains in the snow"
report = {}


def picture(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


def close(one, other):
    """Mean difference of brightness, 0..255."""
    a, b = (list(image.convert("L").resize((32, 32)).getdata()) for image in (one, other))
    return sum(abs(x - y) for x, y in zip(a, b)) / len(a)


client = OpenAI(api_key=KEY, base_url=f"{URL}/v1", max_retries=0)
made = client.images.generate(model="dall-e-3", prompt=PROMPT, response_format="b64_json", extra_body={"seed": 5, "steps": 8})
first = picture(made.data[0].b64_json)
assert first.size == (128, 128), first.size
buffer = io.BytesIO()
first.save(buffer, "PNG")
edited = client.images.edit(image=("a.png", buffer.getvalue(), "image/png"), prompt="a red castle", extra_body={"strength": "0.3", "seed": "5"})
assert close(first, picture(edited.data[0].b64_json)) < 40
report["openai"] = "ok"

where = urlparse(URL)
api = webuiapi.WebUIApi(host=where.hostname, port=where.port)
api.set_auth("limner", KEY)
drawn = api.txt2img(prompt=PROMPT, seed=5, steps=6, width=128, height=128, sampler_name="DDIM")
assert drawn.image.size == (128, 128) and drawn.info["seed"] == 5 and drawn.info["steps"] == 6, drawn.info
assert "Steps: 6" in api.png_info(drawn.image).info or "Steps: 6" in drawn.info["infotexts"][0]
changed = api.img2img(images=[drawn.image], prompt=PROMPT, seed=5, steps=10, denoising_strength=0.3, width=128, height=128)
assert close(drawn.image, changed.image) < 40
mask = Image.new("L", (128, 128), 0)
mask.paste(255, (0, 0, 40, 40))
painted = api.img2img(images=[drawn.image], mask_image=mask, prompt="snow", steps=6, width=128, height=128, inpainting_fill=1, inpaint_full_res=False)
assert painted.image.crop((64, 64, 128, 128)).tobytes() == drawn.image.crop((64, 64, 128, 128)).tobytes()
assert api.get_progress()["progress"] == 0
assert any(model["title"] == "storybook" for model in api.get_sd_models())
report["webuiapi"] = "ok"

headers = {"authorization": f"Bearer {KEY}"}
v1 = requests.post(f"{URL}/v1/models/storybook:predict", headers=headers, json={"instances": [{"prompt": PROMPT}], "parameters": {"steps": 4, "seed": 1}})
assert v1.status_code == 200 and picture(v1.json()["predictions"][0]["bytesBase64Encoded"]).size == (128, 128)
report["kserve_v1"] = "ok"
tensors = [{"name": "prompt", "shape": [1], "datatype": "BYTES", "data": [PROMPT]}]
v2 = requests.post(f"{URL}/v2/models/storybook/infer", headers=headers, json={"parameters": {"steps": 4, "seed": 1}, "inputs": tensors})
assert v2.status_code == 200 and v2.json()["outputs"][0]["data"] == [v1.json()["predictions"][0]["bytesBase64Encoded"]]
report["kserve_v2"] = "ok"
print(json.dumps(report))
