import { existsSync, readdirSync, readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
	decodePreview,
	encodePreview,
	GatewayFrame,
	helloMessage,
	NodeFrame,
	type ParsedFrame,
	parseGatewayFrame,
	parseNodeFrame,
	PreviewHeader,
} from './frames.ts';
import { NODE_LIMITS } from './limits.ts';

const GOLDEN = new URL('../golden/', import.meta.url);
const golden = (name: string): Record<string, unknown> => {
	const file = new URL(`${name}.json`, GOLDEN);
	if (!existsSync(file)) throw new Error(`shared/golden/${name}.json is missing: every frame type needs a golden file`);
	return JSON.parse(readFileSync(file, 'utf8'));
};

const NODE_TYPES = NodeFrame.options.map((option) => option.shape.t.value);
const GATEWAY_TYPES = GatewayFrame.options.map((option) => option.shape.t.value);
const DIRECTIONS: [name: string, types: readonly string[], parse: (text: string) => ParsedFrame<{ t: string }>][] = [
	['node → gateway', NODE_TYPES, parseNodeFrame],
	['gateway → node', GATEWAY_TYPES, parseGatewayFrame],
];

/** Every way to delete one field of a value, at any depth; lists are left whole. */
const withoutEachField = (value: unknown, path = ''): [path: string, copy: unknown][] => {
	if (Array.isArray(value)) {
		return value.flatMap((item, i) =>
			withoutEachField(item, `${path}[${i}]`).map(([p, copy]): [string, unknown] => [p, value.with(i, copy)]),
		);
	}
	if (typeof value !== 'object' || value === null) return [];
	return Object.entries(value).flatMap(([key, item]) => {
		const { [key]: _removed, ...rest } = value as Record<string, unknown>;
		const deeper = withoutEachField(item, `${path}.${key}`).map(([p, copy]): [string, unknown] => [p, { ...value, [key]: copy }]);
		return [[`${path}.${key}`, rest] as [string, unknown], ...deeper];
	});
};

describe.each(DIRECTIONS)('frames %s', (_name, types, parse) => {
	it.each(types.map((type) => [type]))('%s: the golden file reads back as it is', (type) => {
		const frame = golden(type);
		expect(frame.t).toBe(type);
		expect(parse(JSON.stringify(frame))).toEqual({ kind: 'frame', frame });
	});

	it.each(types.map((type) => [type]))('%s: fields of a newer version are kept', (type) => {
		const frame = { ...golden(type), fieldOfNextVersion: { deep: [1, null, 'x'] } };
		expect(parse(JSON.stringify(frame))).toEqual({ kind: 'frame', frame });
	});

	it.each(types.map((type) => [type]))('%s: a field may be missing only where the schema says so', (type) => {
		const schema = [...NodeFrame.options, ...GatewayFrame.options].find((option) => option.shape.t.value === type)!;
		const fields = Object.entries(schema.shape).filter(([key]) => key !== 't');
		const kinds = fields.map(([key]) => {
			const { [key]: _removed, ...rest } = golden(type);
			return [key, parse(JSON.stringify(rest)).kind];
		});
		expect(kinds).toEqual(fields.map(([key, field]) => [key, field.safeParse(undefined).success ? 'frame' : 'bad']));
	});

	it.each(types.map((type) => [type]))('%s: mutilated frames are answered, never thrown', (type) => {
		const text = JSON.stringify(golden(type));
		const kinds = Array.from({ length: text.length }, (_, cut) => parse(text.slice(0, cut)).kind);
		expect(new Set(kinds)).toEqual(new Set(['bad']));
		for (const [path, copy] of withoutEachField(golden(type))) {
			const parsed = parse(JSON.stringify(copy));
			expect(path === '.t' ? parsed : 'any').toEqual(path === '.t' ? { kind: 'bad', detail: 'no type' } : 'any');
			expect(parsed.kind === 'bad' ? parsed.detail : 'ok').not.toBe('');
		}
	});

	it('reports unknown types by name', () => {
		for (const type of ['next', '', '__proto__', 'constructor', 'HELLO']) {
			expect(parse(JSON.stringify({ t: type, x: 1 }))).toEqual({ kind: 'unknown', type });
		}
	});

	it('reports the types of the other direction as unknown', () => {
		for (const type of [...NODE_TYPES, ...GATEWAY_TYPES].filter((other) => !types.includes(other))) {
			expect(parse(JSON.stringify(golden(type)))).toEqual({ kind: 'unknown', type });
		}
	});

	it('answers for any text', () => {
		const texts = ['', 'ping', 'null', '[]', '[{"t":"hello"}]', '1', '"hello"', '{}', '{"t":1}', '{"t":null}', '{"t":["hello"]}'];
		expect(texts.filter((text) => parse(text).kind !== 'bad')).toEqual([]);
		fc.assert(
			fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
				expect(['frame', 'unknown', 'bad']).toContain(parse(text).kind);
			}),
		);
	});

	it('names the field that is wrong', () => {
		const type = types.includes('failed') ? 'failed' : 'cancel';
		const parsed = parse(JSON.stringify({ ...golden(type), epoch: 0 }));
		expect(parsed.kind).toBe('bad');
		expect(parsed.kind === 'bad' && parsed.detail).toMatch(new RegExp(`^${type}: epoch `));
	});
});

describe('golden files', () => {
	it('has one for each frame type and for the preview header, and no other', () => {
		const files = readdirSync(GOLDEN).toSorted();
		expect(files).toEqual([...NODE_TYPES, ...GATEWAY_TYPES, 'preview'].map((type) => `${type}.json`).toSorted());
	});

	it('no type is used in both directions', () => {
		expect(new Set([...NODE_TYPES, ...GATEWAY_TYPES]).size).toBe(NODE_TYPES.length + GATEWAY_TYPES.length);
	});

	it('every golden frame fits in one frame', () => {
		for (const type of [...NODE_TYPES, ...GATEWAY_TYPES]) expect(JSON.stringify(golden(type)).length).toBeLessThan(NODE_LIMITS.frameBytes);
	});
});

const kindOf = (frame: unknown): string => parseNodeFrame(JSON.stringify(frame)).kind;
const resizeKind = (slots: number): string => parseGatewayFrame(JSON.stringify({ t: 'resize', slots })).kind;
const repeat = <T>(count: number, item: T): T[] => Array.from({ length: count }, () => item);
const withHeader = (json: string, declared?: number): Uint8Array => {
	const bytes = new TextEncoder().encode(json);
	const frame = new Uint8Array(4 + bytes.length);
	new DataView(frame.buffer).setUint32(0, declared ?? bytes.length, true);
	frame.set(bytes, 4);
	return frame;
};

describe('bounds of frames', () => {
	const hello = golden('hello');
	const slot = (hello.slots as unknown[])[0];
	const model = (hello.models as Record<string, unknown>[])[0];

	it.each([
		['slots', repeat(NODE_LIMITS.slotsMax, slot), repeat(NODE_LIMITS.slotsMax + 1, slot)],
		['slots', [slot], []],
		['models', repeat(NODE_LIMITS.modelsMax, model), repeat(NODE_LIMITS.modelsMax + 1, model)],
		['name', 'n'.repeat(NODE_LIMITS.nameChars), 'n'.repeat(NODE_LIMITS.nameChars + 1)],
		['name', 'n', ''],
		['bootId', 'b'.repeat(64), 'b'.repeat(65)],
		['agentVersion', 'v'.repeat(64), 'v'.repeat(65)],
		['nodeId', hello.nodeId, `${String(hello.nodeId)}0`],
		['diskFreeBytes', 0, -1],
	])('hello.%s: the bound passes, one past it does not', (field, good, bad) => {
		expect(kindOf({ ...hello, [field]: good })).toBe('frame');
		expect(kindOf({ ...hello, [field]: bad })).toBe('bad');
	});

	it('hello: a model without an operation or with a short hash is refused', () => {
		expect(kindOf({ ...hello, models: [{ ...model, operations: [] }] })).toBe('bad');
		expect(kindOf({ ...hello, models: [{ ...model, sha256: 'f'.repeat(63) }] })).toBe('bad');
		expect(kindOf({ ...hello, models: [{ ...model, sha256: 'F'.repeat(64) }] })).toBe('bad');
	});

	it('progress, failed and resize keep their bounds', () => {
		const item = (golden('progress').items as Record<string, unknown>[])[0];
		expect(kindOf({ t: 'progress', items: repeat(NODE_LIMITS.slotsMax * 16, item) })).toBe('frame');
		expect(kindOf({ t: 'progress', items: repeat(NODE_LIMITS.slotsMax * 16 + 1, item) })).toBe('bad');
		for (const fraction of [0, 1]) expect(kindOf({ t: 'progress', items: [{ ...item, fraction }] })).toBe('frame');
		for (const fraction of [-0.001, 1.001]) expect(kindOf({ t: 'progress', items: [{ ...item, fraction }] })).toBe('bad');
		expect(kindOf({ ...golden('failed'), message: 'm'.repeat(500) })).toBe('frame');
		expect(kindOf({ ...golden('failed'), message: 'm'.repeat(501) })).toBe('bad');
		expect([0, 1, NODE_LIMITS.slotsMax, NODE_LIMITS.slotsMax + 1].map(resizeKind)).toEqual(['bad', 'frame', 'frame', 'bad']);
	});

	const slotKind = (fields: object): string => kindOf({ ...hello, slots: [{ ...(slot as object), ...fields }] });

	it('task and slots keep the bounds of a batch', () => {
		const task = golden('task');
		const more = (task.batch as unknown[])[0];
		const kind = (batch: unknown): string => parseGatewayFrame(JSON.stringify({ ...task, batch })).kind;
		const { batchMax } = NODE_LIMITS;
		expect([0, 1, batchMax - 1, batchMax].map((n) => kind(repeat(n, more)))).toEqual(['bad', 'frame', 'frame', 'bad']);
		expect([0, 1, batchMax, batchMax + 1].map((maxBatch) => slotKind({ maxBatch }))).toEqual(['bad', 'frame', 'frame', 'bad']);
		expect([0, 1].map((maxBatchPx) => slotKind({ maxBatchPx }))).toEqual(['bad', 'frame']);
	});

	it('fills defaults in', () => {
		const { maxBatch: _maxBatch, ...plainSlot } = slot as Record<string, unknown>;
		const parsed = parseNodeFrame(JSON.stringify({ ...hello, slots: [plainSlot] }));
		expect(parsed).toEqual({ kind: 'frame', frame: { ...hello, slots: [{ ...plainSlot, maxBatch: 1 }] } });
		expect(parseNodeFrame('{"t":"bye","reason":"stop"}')).toEqual({ kind: 'frame', frame: { t: 'bye', reason: 'stop', abandoned: [] } });
	});
});

describe('previews', () => {
	const header = PreviewHeader.parse(golden('preview'));
	const image = Uint8Array.from({ length: 300 }, (_, i) => (i * 37) & 255);

	it('the golden header reads back as it is, newer fields included', () => {
		expect(header).toEqual(golden('preview'));
		const newer = { ...header, fieldOfNextVersion: 1 };
		expect(decodePreview(encodePreview(newer, image))?.header).toEqual(newer);
	});

	it('cut at any byte: refused inside the header, a shorter picture after it', () => {
		const frame = encodePreview(header, image);
		const start = frame.length - image.length;
		for (let cut = 0; cut < start; cut++) expect(decodePreview(frame.subarray(0, cut))).toBeUndefined();
		for (let cut = start; cut <= frame.length; cut++) {
			expect(decodePreview(frame.subarray(0, cut))).toEqual({ header, image: image.subarray(0, cut - start) });
		}
	});

	it('reads a frame that lies inside a larger buffer', () => {
		const frame = encodePreview(header, image);
		const larger = new Uint8Array(frame.length + 20).fill(255);
		larger.set(frame, 7);
		expect(decodePreview(larger.subarray(7, 7 + frame.length))).toEqual({ header, image });
	});

	it('takes a frame at the size limit and refuses one byte more', () => {
		const overhead = encodePreview(header, new Uint8Array()).length;
		expect(decodePreview(encodePreview(header, new Uint8Array(NODE_LIMITS.previewBytes - overhead)))).toBeDefined();
		expect(decodePreview(encodePreview(header, new Uint8Array(NODE_LIMITS.previewBytes - overhead + 1)))).toBeUndefined();
	});

	it('refuses bad headers', () => {
		const good = JSON.stringify(header);
		expect(decodePreview(withHeader(good))).toEqual({ header, image: new Uint8Array() });
		const bad = ['', '{}', 'null', '[]', good.slice(1), JSON.stringify({ ...header, contentType: 'image/svg+xml' })];
		expect(bad.filter((json) => decodePreview(withHeader(json)) !== undefined)).toEqual([]);
		expect(decodePreview(withHeader(JSON.stringify({ ...header, epoch: 0 })))).toBeUndefined();
		const lengths = [0xff_ff_ff_ff, good.length + 1, good.length - 1, 0];
		expect(lengths.filter((declared) => decodePreview(withHeader(good, declared)) !== undefined)).toEqual([]);
	});

	it('round-trips any picture and never throws on any bytes', () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
				expect(decodePreview(encodePreview(header, bytes))).toEqual({ header, image: bytes });
				expect(() => decodePreview(bytes)).not.toThrow();
			}),
		);
	});
});

describe('helloMessage', () => {
	it('differs when the nonce, the node or the connection differs', () => {
		expect(helloMessage('n', 'node_x', 'c')).toBe('limner.v1|n|node_x|c');
		// Parts as they occur: base64url and ids, none of which holds the separator.
		const part = fc.stringMatching(/^[\w-]{0,8}$/);
		const parts = fc.tuple(part, part, part);
		fc.assert(
			fc.property(parts, parts, (a, b) => {
				expect(helloMessage(...a) === helloMessage(...b)).toBe(a.every((text, i) => text === b[i]));
			}),
		);
	});
});
