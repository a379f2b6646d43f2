"""
Unmodified Python clients against a gateway. Prints the steps that each call must have run at the engine, in the order of
the calls, and fails on the first thing that is wrong.
"""
import asyncio, base64, io, json, os
from urllib.parse import urlparse

import webuiapi
from kserve import InferInput, InferRequest, InferenceRESTClient, RESTConfig
from openai import BadRequestError, NotFoundError, OpenAI
from PIL import Image

URL, KEY = os.environ["LIMNER_URL"], os.environ["LIMNER_API_KEY"]
# Of the pictures of the embedded model.
SIDE = int(os.environ["LIMNER_SIDE"])
PROMPT = "a red castle in the mountains in the snow"
steps = []


def picture(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def correlation(one, other):
    """Pearson's correlation of two pictures' brightness."""
    a, b = (list(image.convert("L").resize((32, 32)).tobytes()) for image in (one, other))
    ma, mb = sum(a) / len(a), sum(b) / len(b)
    top = sum((x - ma) * (y - mb) for x, y in zip(a, b))
    return top / (sum((x - ma) ** 2 for x in a) * sum((y - mb) ** 2 for y in b)) ** 0.5


def openai():
    client = OpenAI(api_key=KEY, base_url=f"{URL}/v1", max_retries=0)
    made = client.images.generate(model="dall-e-3", prompt=PROMPT, response_format="b64_json", extra_body={"seed": 5, "steps": 8})
    first = picture(made.data[0].b64_json)
    assert first.size == (SIDE, SIDE), first.size
    edited = client.images.edit(image=("a.png", png(first), "image/png"), prompt="a red castle", extra_body={"strength": "0.5", "seed": "5", "steps": "20"})
    assert correlation(first, picture(edited.data[0].b64_json)) > 0.5
    steps.extend([8, 10])
    for wrong, kind in (({"model": "no-such"}, NotFoundError), ({"extra_body": {"lora": "x"}}, BadRequestError)):
        try:
            client.images.generate(prompt="x", **wrong)
            raise AssertionError(f"{wrong} was taken")
        except kind:
            pass


def a1111():
    where = urlparse(URL)
    api = webuiapi.WebUIApi(host=where.hostname, port=where.port)
    api.set_auth("limner", KEY)
    drawn = api.txt2img(prompt=PROMPT, seed=5, steps=6, width=SIDE, height=SIDE, sampler_name="DDIM")
    assert drawn.image.size == (SIDE, SIDE) and drawn.info["seed"] == 5 and drawn.info["steps"] == 6, drawn.info
    assert "Steps: 6" in api.png_info(drawn.image).info or "Steps: 6" in drawn.info["infotexts"][0]
    changed = api.img2img(images=[drawn.image], prompt=PROMPT, seed=5, steps=10, denoising_strength=0.3, width=SIDE, height=SIDE)
    assert correlation(drawn.image, changed.image) > 0.5
    steps.extend([6, 3])
    assert [one["name"] for one in api.get_upscalers()] == ["None", "Lanczos"] and api.get_latent_upscale_modes() == []
    large = api.txt2img(prompt=PROMPT, seed=5, steps=6, width=SIDE, height=SIDE, sampler_name="DDIM", enable_hr=True, hr_scale=1.5, hr_upscaler=webuiapi.HiResUpscaler.Lanczos, hr_second_pass_steps=4, denoising_strength=0.3)
    assert large.image.size == (SIDE * 3 // 2, SIDE * 3 // 2) and large.info["extra_generation_params"]["Hires upscaler"] == "Lanczos", large.info
    # The second pass starts from the first one, enlarged: the same seed without it is the picture above.
    assert correlation(drawn.image, large.image) > 0.5, correlation(drawn.image, large.image)
    steps.extend([6, 4])
    try:
        api.txt2img(prompt=PROMPT, enable_hr=True, hr_upscaler=webuiapi.HiResUpscaler.Latent)
        raise AssertionError("an upscaler that does not exist was taken")
    except RuntimeError as error:
        assert "there is: Lanczos" in str(error), error
    twice = api.extra_single_image(drawn.image, upscaler_1=webuiapi.Upscaler.Lanczos, upscaling_resize=2).image
    assert twice.size == (256, 256) and correlation(twice, drawn.image.resize((256, 256), Image.LANCZOS)) > 0.99
    steps.append(0)
    mask = Image.new("L", (SIDE, SIDE), 0)
    mask.paste(255, (0, 0, 40, 40))
    painted = []
    for fill in range(4):
        one = api.img2img(images=[drawn.image], mask_image=mask, prompt="snow", seed=1, steps=8, denoising_strength=0.5, width=SIDE, height=SIDE, inpainting_fill=fill, inpaint_full_res=False)
        assert one.image.crop((SIDE // 2, SIDE // 2, SIDE, SIDE)).tobytes() == drawn.image.crop((SIDE // 2, SIDE // 2, SIDE, SIDE)).tobytes()
        painted.append(one.image.crop((0, 0, 40, 40)).tobytes())
        steps.append(4)
    assert len(set(painted)) == 4, "two fills made the same picture"
    assert api.get_progress()["progress"] == 0
    assert any(model["title"] == "storybook" for model in api.get_sd_models())
    assert any(sampler["name"] == "DDIM" for sampler in api.get_samplers())


async def kserve():
    headers = {"authorization": f"Bearer {KEY}"}
    async with InferenceRESTClient(RESTConfig(protocol="v1", timeout=120)) as v1, InferenceRESTClient(RESTConfig(protocol="v2", timeout=120)) as v2:
        assert await v1.is_model_ready(URL, "storybook", headers=headers)
        body = {"instances": [{"prompt": PROMPT}], "parameters": {"steps": 4, "seed": 1}}
        made = (await v1.infer(URL, body, model_name="storybook", headers=headers))["predictions"][0]["bytesBase64Encoded"]
        assert picture(made).size == (SIDE, SIDE)
        change = {"instances": [{"prompt": PROMPT, "image": {"bytesBase64Encoded": made}}], "parameters": {"steps": 10, "seed": 2, "strength": 0.5}}
        changed = (await v1.infer(URL, change, model_name="storybook", headers=headers))["predictions"][0]["bytesBase64Encoded"]
        assert correlation(picture(made), picture(changed)) > 0.5
        assert await v2.is_server_live(URL) and await v2.is_server_ready(URL)
        assert await v2.is_model_ready(URL, "storybook", headers=headers)
        assert not await v2.is_model_ready(URL, "no-such", headers=headers)
        request = InferRequest(model_name="storybook", parameters={"steps": 4, "seed": 1}, infer_inputs=[InferInput("prompt", [1], "BYTES", data=[PROMPT])])
        answer = await v2.infer(URL, request, model_name="storybook", headers=headers)
        [again] = answer.outputs[0].data
        assert again == made, "v1 and v2 disagree"
        steps.extend([4, 5, 4])


openai()
a1111()
asyncio.run(kserve())
print(json.dumps(steps))
