import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { InferenceError, ModelFolderError } from './errors.ts';
import { readOnnxTypes } from './onnx-header.ts';
import { ModelSession, type RunClock } from './session.ts';

let dir: string;
const clock: RunClock = { ms: 0 };

beforeAll(async () => {
	dir = await mkdtemp(join(tmpdir(), 'session-'));
});
afterAll(async () => {
	await rm(dir, { recursive: true });
});

const varint = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, ...varint(n >>> 7)]);
const number = (field: number, value: number): number[] => [...varint(field * 8), ...varint(value)];
const nested = (field: number, body: readonly number[]): number[] => [...varint(field * 8 + 2), ...varint(body.length), ...body];
const text = (field: number, value: string): number[] => nested(field, [...Buffer.from(value)]);

/** An ONNX file with one node that casts a vector of 4 from one element type to another (onnx.proto numbers). */
async function castModel(name: string, from: number, to: number): Promise<string> {
	const shape = nested(2, nested(1, number(1, 4)));
	const value = (n: string, type: number): number[] => [...text(1, n), ...nested(2, nested(1, [...number(1, type), ...shape]))];
	const attribute = [...text(1, 'to'), ...number(3, to), ...number(20, 2)];
	const node = [...text(1, 'x'), ...text(2, 'y'), ...text(4, 'Cast'), ...nested(5, attribute)];
	const graph = [...nested(1, node), ...text(2, 'g'), ...nested(11, value('x', from)), ...nested(12, value('y', to))];
	const model = [...number(1, 8), ...nested(8, [...text(1, ''), ...number(2, 17)]), ...nested(7, graph)];
	const path = join(dir, `${name}.onnx`);
	await writeFile(path, Uint8Array.from(model));
	return path;
}

const [FLOAT, INT32, INT64, FLOAT16, FLOAT64, BFLOAT16] = [1, 6, 7, 10, 11, 16];

test.each([
	['float32 to float16', FLOAT, FLOAT16],
	['float16 to float32', FLOAT16, FLOAT],
	['float16 to float16', FLOAT16, FLOAT16],
	['int64 to float32', INT64, FLOAT],
	['int32 to float32', INT32, FLOAT],
])('%s graphs are fed and read as float32', async (name, from, to) => {
	const session = await ModelSession.open(await castModel(name, from, to), {}, clock);
	const values = Float32Array.of(1, -2, 0, 7);
	const bound = session.bind('x', values, [4]);
	expect((await session.run({ x: bound.tensor }, ['y'])).get('y')).toEqual(Float32Array.of(1, -2, 0, 7));
	values[0] = 9;
	bound.refresh();
	expect((await session.run({ x: bound.tensor }, ['y'])).get('y')?.[0]).toBe(9);
	expect(clock.ms).toBeGreaterThan(0);
	await session.release();
});

test.each([
	['float32', FLOAT],
	['float16', FLOAT16],
])('a reserved %s output is written in place, run after run', async (name, type) => {
	const session = await ModelSession.open(await castModel(`reserved-${name}`, FLOAT, type), {}, clock);
	const values = Float32Array.of(1, -2, 0, 7);
	const bound = session.bind('x', values, [4]);
	const reserved = session.reserve('y', [4]);
	if (reserved === null) throw new Error('nothing was reserved');
	const into = new Map([['y', reserved]]);
	expect((await session.run({ x: bound.tensor }, ['y'], into)).get('y')).toBe(reserved.values);
	expect(reserved.values).toEqual(Float32Array.of(1, -2, 0, 7));
	values[1] = 0.5;
	await session.run({ x: bound.tensor }, ['y'], into);
	expect(reserved.values).toEqual(Float32Array.of(1, 0.5, 0, 7));
	await session.release();
});

test('types that cannot be used are refused with a remedy', async () => {
	const path = await castModel('bfloat16', BFLOAT16, FLOAT);
	expect(await readOnnxTypes(path)).toEqual({ inputs: { x: 'bfloat16' }, weights: null });
	await expect(ModelSession.open(path, {}, clock)).rejects.toThrow(ModelFolderError);
	const wide = await ModelSession.open(await castModel('float64', FLOAT64, FLOAT), {}, clock);
	expect(() => wide.bind('x', new Float32Array(4), [4])).toThrow(/takes float64/);
	await wide.release();
});

test('a wrong shape is an inference error, a file without a model a folder error', async () => {
	const session = await ModelSession.open(await castModel('shape', FLOAT, FLOAT), {}, clock);
	const bound = session.bind('x', new Float32Array(3), [3]);
	await expect(session.run({ x: bound.tensor }, ['y'])).rejects.toThrow(InferenceError);
	await session.release();
	await writeFile(join(dir, 'no.onnx'), 'this is no model');
	await expect(ModelSession.open(join(dir, 'no.onnx'), {}, clock)).rejects.toThrow(ModelFolderError);
	await expect(ModelSession.open(join(dir, 'absent.onnx'), {}, clock)).rejects.toThrow(/absent\.onnx cannot be loaded/);
});
