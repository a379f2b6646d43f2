/**
 * The real engine in its real process: models that are broken in every way that people meet, and what becomes of the slot.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { SlotManager } from './manager.ts';
import type { SlotTask } from './messages.ts';
import type { SlotOutcome } from './state.ts';
import { forkWorkers } from './workers.ts';

const MODEL = fileURLToPath(new URL('../../../tests/reference/models/sd-1.5', import.meta.url));
let manager: SlotManager;
const settled = new Map<string, SlotOutcome>();
let dir = '';
let count = 0;

const until = async (what: string, check: () => boolean): Promise<void> => {
	const end = Date.now() + 60_000;
	while (!check()) {
		if (Date.now() > end) throw new Error(`timed out: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 10));
	}
};
const task = (folder: string, seed = 1): SlotTask => {
	const key = `${++count}`;
	return {
		key,
		grant: { jobId: `job_${key}`, index: 0, epoch: 1 },
		request: {
			task: 'txt2img',
			prompt: 'a red castle',
			negativePrompt: null,
			width: 64,
			height: 64,
			steps: 2,
			guidance: 3,
			seed,
			pasteBack: true,
		},
		model: { name: folder, dir: folder, sha256: `${count}`.padStart(64, '0') },
		inputs: {},
		watched: false,
	};
};
const outcomeOf = async (...tasks: [SlotTask, ...SlotTask[]]): Promise<SlotOutcome[]> => {
	await until('free', () => manager.accepts('0'));
	expect(manager.run('0', ...tasks)).toBeUndefined();
	await until('settled', () => tasks.every(({ key }) => settled.has(key)));
	return tasks.map(({ key }) => settled.get(key) as SlotOutcome);
};

const png = (outcome: SlotOutcome | undefined): Uint8Array => (outcome?.kind === 'done' ? outcome.png : new Uint8Array());

beforeAll(async () => {
	const device = { kind: 'cpu', name: 'cpu' } as const;
	manager = new SlotManager({
		startWorker: forkWorkers({ engine: { kind: 'onnx', options: { device, executionProviders: ['cpu'], intraOpNumThreads: 1 } } }),
		onSettled: (_slot, { key }, outcome) => settled.set(key, outcome),
	});
	manager.resize(1);
	await until('up', () => manager.states()[0]?.worker === 'up');
});
afterAll(async () => manager.stop());
beforeEach(async () => {
	dir = await mkdtemp(join(tmpdir(), 'limner-broken-'));
	await cp(MODEL, dir, { recursive: true });
});
afterEach(async () => rm(dir, { recursive: true, force: true }));

/** `opset_import { version: 17 }` without and with its empty domain, as exporters write it. */
const setOpset = async (file: string, version: number): Promise<void> => {
	const bytes = await readFile(file);
	for (const head of [Buffer.from([0x42, 0x04, 0x0a, 0x00, 0x10]), Buffer.from([0x42, 0x02, 0x10])]) {
		const at = bytes.lastIndexOf(head);
		if (at < 0) continue;
		bytes[at + head.length] = version;
		return writeFile(file, bytes);
	}
	throw new Error(`${file} has no opset that this test finds`);
};

/** Declares the first input of a graph as bfloat16: `tensor_type { elem_type: 1` → 16. */
const setBfloat16 = async (file: string, name: string): Promise<void> => {
	const bytes = await readFile(file);
	const label = Buffer.from(name);
	for (let at = bytes.indexOf(label); at >= 0; at = bytes.indexOf(label, at + 1)) {
		const type = bytes.indexOf(Buffer.from([0x08, 0x01, 0x12]), at);
		// an input's type follows its name within a few bytes
		if (bytes[at - 2] !== 0x0a || type < 0 || type - at > label.length + 10) continue;
		bytes[type + 1] = 16;
		return writeFile(file, bytes);
	}
	throw new Error(`${file} has no input ${name}`);
};

const BROKEN: [what: string, breakIt: () => Promise<void>, sentence: RegExp][] = [
	['a missing file', async () => rm(join(dir, 'vae_decoder/model.onnx')), /vae_decoder.*is missing/],
	['a missing tokenizer', async () => rm(join(dir, 'tokenizer/vocab.json')), /tokenizer.*vocab\.json is missing/],
	['a truncated graph', async () => truncate(join(dir, 'unet/model.onnx'), 50_000), /unet\/model\.onnx.*download/],
	['an empty graph', async () => truncate(join(dir, 'unet/model.onnx'), 0), /unet\/model\.onnx is empty/],
	[
		'a page of HTML in place of a graph',
		async () => writeFile(join(dir, 'unet/model.onnx'), '<html>Not found</html>'),
		/unet\/model\.onnx/,
	],
	[
		'an opset of the future',
		async () => setOpset(join(dir, 'unet/model.onnx'), 99),
		/unet\/model\.onnx was exported for opset 99.*its newest is \d+.*--opset/,
	],
	[
		"another model's tokenizer",
		async () => otherTokenizer(),
		/tokenizer is not the tokenizer of .*text_encoder: it has \d+ tokens and the encoder knows 859/,
	],
	[
		'a vocabulary that lost its words',
		async () => writeFile(join(dir, 'tokenizer/vocab.json'), '{"<|startoftext|>": 857, "<|endoftext|>": 858}'),
		/tokenizer is not the tokenizer of .*text_encoder: it has \d tokens and the encoder knows 859/,
	],
	['the tokenizer of another kind of encoder', async () => t5Tokenizer(), /tokenizer is not the tokenizer of .*text_encoder/],
	['bfloat16 inputs', async () => setBfloat16(join(dir, 'unet/model.onnx'), 'sample'), /unet\/model\.onnx.*bfloat16.*float16/],
	['half a JSON', async () => writeFile(join(dir, 'unet/config.json'), '{"in_channels": '), /config\.json is not valid JSON/],
];

/** A vocabulary with far more words than the text encoder knows. */
const otherTokenizer = async (): Promise<void> => {
	const file = join(dir, 'tokenizer/vocab.json');
	const vocab = JSON.parse(await readFile(file, 'utf8')) as Record<string, number>;
	await writeFile(file, JSON.stringify(Object.fromEntries(Object.entries(vocab).map(([word, id]) => [word, id + 40_000]))));
};

/** SD 3's third tokenizer where CLIP's should be. */
const t5Tokenizer = async (): Promise<void> => {
	await rm(join(dir, 'tokenizer'), { recursive: true });
	await cp(join(MODEL, '../sd-3/tokenizer_3'), join(dir, 'tokenizer'), { recursive: true });
};

describe('a slot with the real engine', () => {
	it.each(BROKEN)('%s: one clear sentence, and the process lives on', async (_what, breakIt, sentence) => {
		const pid = manager.pidOf('0');
		await breakIt();
		const [outcome] = await outcomeOf(task(dir));
		if (outcome?.kind !== 'failed') throw new Error(`it should have failed: ${outcome?.kind ?? 'nothing'}`);
		expect(outcome.failure).toBe('engine');
		expect(outcome.message).toMatch(sentence);
		expect(outcome.message.split('\n')).toHaveLength(1);
		expect(outcome.message.length).toBeLessThan(500);
		const [after] = await outcomeOf(task(MODEL));
		expect(after?.kind).toBe('done');
		expect(manager.pidOf('0')).toBe(pid);
	});

	it('makes a batch with the bytes of single pictures, and says what it takes and holds', async () => {
		const model = task(MODEL).model;
		const tasks = [1, 2, 3].map((seed) => ({ ...task(MODEL, seed), model })) as [SlotTask, SlotTask, SlotTask];
		const together = await outcomeOf(...tasks);
		const alone = await outcomeOf({ ...tasks[1], key: 'alone' });
		expect(together.map((outcome) => outcome.kind)).toEqual(['done', 'done', 'done']);
		expect(Buffer.compare(png(together[1]), png(alone[0]))).toBe(0);
		expect(Buffer.compare(png(together[0]), png(together[1]))).not.toBe(0);
		await until('told', () => manager.states()[0]?.capabilities?.held.at(-1) === MODEL);
		expect(manager.states()[0]?.capabilities?.maxBatch).toBe(4);
	});

	it.skipIf(!existsSync('/usr/bin/prlimit'))(
		'runs out of memory for real: class oom, no model held, the same process goes on',
		async () => {
			const { model } = task(MODEL);
			const pid = manager.pidOf('0') ?? 0;
			expect((await outcomeOf({ ...task(MODEL), model }))[0]?.kind).toBe('done');
			const size = Number(/VmSize:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
			// attention over 16,384 cells asks for 2 GiB and more at once: it fails, and everything small has 1 GiB of room
			execFileSync('/usr/bin/prlimit', ['--pid', String(pid), `--as=${size + 1024 ** 3}:`]);
			const large = task(MODEL);
			const [outcome] = await outcomeOf({ ...large, model, request: { ...large.request, width: 1024, height: 1024 } });
			execFileSync('/usr/bin/prlimit', ['--pid', String(pid), '--as=unlimited:']);
			expect(outcome).toMatchObject({ kind: 'failed', failure: 'oom', message: expect.stringContaining('ran out of memory') as string });
			await until('told', () => manager.states()[0]?.capabilities?.held.length === 0);
			expect((await outcomeOf({ ...task(MODEL), model }))[0]?.kind).toBe('done');
			expect(manager.pidOf('0')).toBe(pid);
		},
	);

	it('loads a model while the inputs are on their way', async () => {
		await until('free', () => manager.accepts('0'));
		const { model } = task(dir);
		manager.prepare('0', model);
		const [outcome] = await outcomeOf({ ...task(dir), model });
		expect(outcome?.kind).toBe('done');
		manager.prepare('0', { ...model, name: 'none', dir: join(dir, 'none') });
		const [after] = await outcomeOf({ ...task(dir), model });
		expect(after?.kind).toBe('done');
	});
});
