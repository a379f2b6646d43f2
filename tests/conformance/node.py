"""A Limner node in another language, written from docs/protocol.md alone.

Draws gradients instead of running a model; everything else is what a real node does: enrolment, signed hello,
heartbeat, grants, progress, cancel, an outbox on disk that survives a kill, reconnects.

    python node.py --gateway http://127.0.0.1:8787 --token <join token> --state ./state --name attic
"""
import argparse, asyncio, base64, hashlib, json, os, pathlib, random, signal, struct, sys, time, urllib.error, urllib.request, uuid, zlib
import websockets
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

STEP_S = 0.06
MODEL = {"name": "gradient", "sha256": "5e" * 32, "family": "procedural", "bytes": 0, "operations": ["txt2img"], "nativeWidth": 64,
         "nativeHeight": 64, "sizeMultiple": 8, "defaults": {"steps": 10, "guidance": 1, "scheduler": "ddim"}}
SLOT = {"id": "s0", "device": {"kind": "cpu", "name": "python"}, "engine": "gradient", "maxBatch": 1}
STOP_CODES = {4403: "banned", 4409: "another process uses this identity", 4426: "the gateway needs a newer protocol"}


class Halt(Exception):
    """Never connect again."""


def b64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def png(width, height, seed):
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            rows += bytes(((x * 255 // width + seed) & 255, (y * 255 // height) & 255, seed & 255))
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(rows))) + chunk(b"IEND", b"")


def ref(frame):
    return {key: frame[key] for key in ("jobId", "index", "epoch")}


def name_of(frame):
    return f"{frame['jobId']}-{frame['index']}-{frame['epoch']}"


class Node:
    def __init__(self, args):
        self.args, self.dir = args, pathlib.Path(args.state)
        self.outbox = self.dir / "outbox"
        self.outbox.mkdir(parents=True, exist_ok=True)
        self.boot, self.socket, self.config = uuid.uuid4().hex, None, {"pingMs": 4000, "progressMs": 2000}
        self.running = {}  # name of the grant -> {"task": frame, "job": asyncio task}
        self.uploads, self.heard, self.renewed, self.stopping = {}, 0.0, False, False
        key_file = self.dir / "key"
        if not key_file.exists():
            raw = Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
            self.write(key_file, raw)
        self.key = Ed25519PrivateKey.from_private_bytes(key_file.read_bytes())
        self.public = b64url(self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def write(self, path, data):
        aside = path.with_suffix(".new")
        with open(aside, "wb", opener=lambda p, flags: os.open(p, flags, 0o600)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)

    async def http(self, method, path, body=b"", headers=None):
        """Status and body; 0 when nobody answered."""
        def call():
            request = urllib.request.Request(self.args.gateway + path, data=body, method=method, headers=headers or {})
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                return error.code, error.read()
            except OSError as error:
                return 0, str(error).encode()
        return await asyncio.to_thread(call)

    # ---- identity ----

    async def enrol(self):
        file = self.dir / "identity.json"
        if not file.exists():
            body = json.dumps({"token": self.args.token, "publicKey": self.public, "name": self.args.name}).encode()
            status, answer = await self.http("POST", "/api/v1/nodes", body, {"content-type": "application/json"})
            if status != 201:
                raise Halt(f"enrolment answered {status}: {answer.decode()[:300]}")
            self.write(file, answer)
        self.identity = json.loads(file.read_bytes())

    async def renew(self):
        if self.renewed:
            raise Halt("the gateway refuses even a fresh certificate")
        status, answer = await self.http("POST", "/api/v1/nodes/renew", b"{}",
                                         {"authorization": f"Bearer {self.identity['certificate']}", "content-type": "application/json"})
        if 400 <= status < 500:
            raise Halt(f"the certificate cannot be renewed ({status})")
        if status == 200:
            self.renewed = True
            self.write(self.dir / "identity.json", answer)
            self.identity = json.loads(answer)

    # ---- connection ----

    async def run(self):
        await self.enrol()
        for file in self.outbox.glob("*.json"):
            self.upload_later(json.loads(file.read_bytes()))
        attempt = 0
        while not self.stopping:
            began, code = time.monotonic(), 1006
            try:
                url = self.args.gateway.replace("http", "ws", 1) + "/api/v1/nodes/connect"
                headers = {"Authorization": f"Bearer {self.identity['certificate']}"}
                async with websockets.connect(url, subprotocols=["limner.v1"], additional_headers=headers, ping_interval=None,
                                              open_timeout=10, close_timeout=2, max_size=4 << 20) as socket:
                    code = await self.talk(socket)
            except websockets.InvalidStatus as refused:
                code = 4401 if refused.response.status_code in (401, 403) else 1006
            except (OSError, websockets.WebSocketException, asyncio.TimeoutError):
                pass
            self.socket = None
            if self.stopping:
                break
            if code in STOP_CODES:
                raise Halt(STOP_CODES[code])
            if code == 4401:
                await self.renew()
                continue
            attempt = 0 if time.monotonic() - began > 10 else attempt
            cap = 5 if code == 4503 else min(30, 2 ** attempt)
            await asyncio.sleep(random.random() * cap)
            attempt += 1

    async def talk(self, socket):
        """Serves one connection; answers its close code."""
        self.heard = time.monotonic()
        heart = asyncio.create_task(self.beat(socket))
        try:
            async for text in socket:
                self.heard = time.monotonic()
                if isinstance(text, str) and text != "pong":
                    await self.receive(socket, text)
        except websockets.ConnectionClosed:
            pass
        finally:
            heart.cancel()
        return socket.close_code or 1006

    async def beat(self, socket):
        while True:
            ping = self.config["pingMs"] / 1000
            await asyncio.sleep(ping * random.uniform(0.9, 1.1))
            if time.monotonic() - self.heard > 3 * ping:
                socket.transport.abort()  # half-open: nobody would answer a close either
                return
            await socket.send("ping")

    async def say(self, frame):
        if self.socket is not None:
            try:
                await self.socket.send(json.dumps(frame))
            except websockets.ConnectionClosed:
                pass

    async def receive(self, socket, text):
        try:
            frame = json.loads(text)
            kind = frame["t"]
            if kind == "challenge":
                await self.greet(socket, frame)
            elif kind == "welcome":
                await self.welcomed(socket, frame)
            elif kind == "mode" and frame["mode"] == "terminated":
                raise Halt("terminated")
            elif kind == "task" and not self.stopping:
                await self.take(frame)
            elif kind == "cancel":
                self.drop(frame)
        except (ValueError, KeyError, TypeError) as error:  # not for this version; never a reason to leave
            print(f"ignored: {error!r} in {text[:200]}", file=sys.stderr)

    async def greet(self, socket, challenge):
        message = f"limner.v1|{challenge['nonce']}|{self.identity['nodeId']}|{challenge['connId']}".encode()
        finished = [ref(record) for record in self.uploads.values()]
        running = [{**ref(run["task"]), "slotId": SLOT["id"]} for run in self.running.values()]
        await socket.send(json.dumps({
            "t": "hello", "v": 1, "nodeId": self.identity["nodeId"], "connId": challenge["connId"], "bootId": self.boot,
            "sig": b64url(self.key.sign(message)), "name": self.args.name, "agentVersion": "0.0.1", "platform": "python",
            "slots": [SLOT], "models": [MODEL], "running": running, "finished": finished}))

    async def welcomed(self, socket, frame):
        if frame["minVersion"] > 1:
            raise Halt("the gateway needs a newer protocol")
        if frame["mode"] == "terminated":
            raise Halt("terminated")
        self.socket, self.config, self.renewed = socket, frame["config"], False
        for each in frame["drop"]:
            self.drop(each)

    # ---- work ----

    async def take(self, task):
        name = name_of(task)
        if name not in self.running and name not in self.uploads:
            # A newer grant of the same task, or a grant of the same slot, ends what ran there.
            for old in list(self.running.values()):
                self.drop(old["task"])
            self.running[name] = {"task": task, "job": asyncio.create_task(self.work(task))}
        await self.say({"t": "ack", **ref(task), "slotId": task["slotId"]})

    async def work(self, task):
        began, spec, told = time.monotonic(), task["spec"], 0.0
        if spec["model"] != MODEL["name"] or spec["task"] not in MODEL["operations"]:
            del self.running[name_of(task)]
            return await self.say({"t": "failed", **ref(task), "slotId": task["slotId"], "class": "invalid", "message": "not mine"})
        for step in range(spec["steps"]):
            await asyncio.sleep(STEP_S)
            if time.monotonic() - told >= self.config["progressMs"] / 1000:
                told = time.monotonic()
                item = {**ref(task), "phase": "denoising", "step": step + 1, "steps": spec["steps"]}
                await self.say({"t": "progress", "items": [item]})
        bytes_ = png(spec["width"], spec["height"], task["seed"])
        took = (time.monotonic() - began) * 1000
        meta = b64url(json.dumps({"device": "python", "timings": {"denoiseMs": took}}).encode())
        record = {**ref(task), "ticket": task["ticket"], "sha256": hashlib.sha256(bytes_).hexdigest(), "meta": meta}
        self.write(self.outbox / f"{name_of(task)}.bin", bytes_)  # the bytes first: a record without them cannot come about
        self.write(self.outbox / f"{name_of(task)}.json", json.dumps(record).encode())
        del self.running[name_of(task)]
        self.upload_later(record)
        await self.say({"t": "generated", **ref(task), "slotId": task["slotId"], "denoiseMs": took, "totalMs": took})

    def drop(self, grant):
        """Stops a grant. One of another epoch is none of its business."""
        run = self.running.pop(name_of(grant), None)
        if run is not None:
            run["job"].cancel()
        if self.uploads.pop(name_of(grant), None) is not None:
            self.forget(grant)

    def forget(self, grant):
        for ending in ("json", "bin"):
            (self.outbox / f"{name_of(grant)}.{ending}").unlink(missing_ok=True)

    def upload_later(self, record):
        self.uploads[name_of(record)] = record
        asyncio.create_task(self.upload(record))

    async def upload(self, record):
        data, attempt = (self.outbox / f"{name_of(record)}.bin").read_bytes(), 0
        headers = {"content-type": "image/png", "x-content-sha256": record["sha256"], "x-limner-meta": record["meta"]}
        while name_of(record) in self.uploads:
            status, _ = await self.http("PUT", f"/api/v1/results/{record['ticket']}", data, headers)
            if status in (200, 409, 410, 413, 422):
                self.uploads.pop(name_of(record), None)
                return self.forget(record)
            await asyncio.sleep(random.random() * min(30, 0.5 * 2 ** attempt))
            attempt += 1

    async def stop(self):
        self.stopping = True
        abandoned = [ref(run["task"]) for run in self.running.values()]
        for run in self.running.values():
            run["job"].cancel()
        await self.say({"t": "bye", "reason": "the process was asked to stop", "abandoned": abandoned})
        if self.socket is not None:
            await self.socket.close()


async def main():
    parser = argparse.ArgumentParser()
    for name in ("gateway", "token", "state", "name"):
        parser.add_argument(f"--{name}", required=name != "token")
    node = Node(parser.parse_args())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: asyncio.create_task(node.stop()))
    await node.run()

try:
    asyncio.run(main())
except Halt as reason:
    sys.exit(f"node: stopped for good: {reason}")
