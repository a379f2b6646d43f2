import { open, type FileHandle } from 'node:fs/promises';

/** Element types of onnx.proto `TensorProto.DataType` that image models use. */
const ELEMENT_TYPES: Readonly<Record<number, string>> = {
	1: 'float32',
	2: 'uint8',
	3: 'int8',
	5: 'int16',
	6: 'int32',
	7: 'int64',
	9: 'bool',
	10: 'float16',
	11: 'float64',
	16: 'bfloat16',
};

/** Field numbers of onnx.proto: ModelProto.graph, GraphProto.initializer/input, … */
const FIELD = { modelGraph: 7, graphInitializer: 5, graphInput: 11, valueName: 1, valueType: 2, typeTensor: 1, elementType: 1 } as const;
const TENSOR_DATA_TYPE = 2;
const TENSOR_HEAD_BYTES = 4096;
const WINDOW_BYTES = 65_536;

/** What an ONNX file says about its element types. */
export interface OnnxTypes {
	/** Graph inputs (without weights) → element type. */
	inputs: Record<string, string>;
	/** Element type that holds most weight tensors' bytes; null without weights in the file. */
	weights: string | null;
}

interface Field {
	number: number;
	/** Value of a varint field; start of the content for a length-delimited one. */
	start: number;
	end: number;
	value: number;
}

/** Random access to a file through one cached window. */
class Reader {
	readonly #file: FileHandle;
	#window = Buffer.alloc(0);
	#offset = 0;

	constructor(file: FileHandle) {
		this.#file = file;
	}

	async bytes(at: number, length: number): Promise<Buffer> {
		if (at < this.#offset || at + length > this.#offset + this.#window.length) {
			const buffer = Buffer.alloc(Math.max(length, WINDOW_BYTES));
			const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, at);
			this.#window = buffer.subarray(0, bytesRead);
			this.#offset = at;
		}
		return this.#window.subarray(at - this.#offset, at - this.#offset + length);
	}
}

function varint(buffer: Buffer, at: number): { value: number; next: number } {
	let value = 0;
	let scale = 1;
	let i = at;
	for (; i < buffer.length && i < at + 10; i++) {
		const byte = buffer[i] as number;
		value += (byte & 0x7f) * scale;
		scale *= 128;
		if (byte < 0x80) return { value, next: i + 1 };
	}
	throw new RangeError('the file ends inside a number');
}

/** Walks the fields of one protobuf message without reading their contents. */
async function* fields(reader: Reader, start: number, end: number): AsyncGenerator<Field> {
	let at = start;
	while (at < end) {
		const head = await reader.bytes(at, Math.min(20, end - at));
		const key = varint(head, 0);
		const number = Math.floor(key.value / 8);
		const wire = key.value % 8;
		if (wire === 0) {
			const v = varint(head, key.next);
			yield { number, start: at, end: at, value: v.value };
			at += v.next;
		} else if (wire === 2) {
			const length = varint(head, key.next);
			const from = at + length.next;
			if (from + length.value > end) throw new RangeError('the file is cut off');
			yield { number, start: from, end: from + length.value, value: 0 };
			at = from + length.value;
		} else if (wire === 1 || wire === 5) at += key.next + (wire === 1 ? 8 : 4);
		else throw new RangeError('not an ONNX file');
	}
}

async function find(reader: Reader, within: { start: number; end: number }, number: number): Promise<Field | null> {
	for await (const field of fields(reader, within.start, within.end)) if (field.number === number) return field;
	return null;
}

async function inputType(reader: Reader, input: Field): Promise<[name: string, type: string] | null> {
	const name = await find(reader, input, FIELD.valueName);
	const type = await find(reader, input, FIELD.valueType);
	const tensor = type === null ? null : await find(reader, type, FIELD.typeTensor);
	const element = tensor === null ? null : await find(reader, tensor, FIELD.elementType);
	if (name === null || element === null) return null;
	const text = (await reader.bytes(name.start, name.end - name.start)).toString('utf8');
	return [text, ELEMENT_TYPES[element.value] ?? `type ${element.value}`];
}

/**
 * Reads element types from an ONNX file without loading it: only protobuf headers are visited, weights are skipped.
 * @throws RangeError when the file is cut off or no ONNX file
 */
export async function readOnnxTypes(path: string): Promise<OnnxTypes> {
	const file = await open(path, 'r');
	try {
		const reader = new Reader(file);
		const { size } = await file.stat();
		const graph = await find(reader, { start: 0, end: size }, FIELD.modelGraph);
		if (graph === null) throw new RangeError('not an ONNX file');
		const inputs: Record<string, string> = {};
		const bytes = new Map<string, number>();
		for await (const field of fields(reader, graph.start, graph.end)) {
			if (field.number === FIELD.graphInput) {
				const found = await inputType(reader, field);
				if (found !== null) inputs[found[0]] = found[1];
			} else if (field.number === FIELD.graphInitializer) {
				const head = { start: field.start, end: Math.min(field.end, field.start + TENSOR_HEAD_BYTES) };
				const type = await dataType(reader, head);
				bytes.set(type, (bytes.get(type) ?? 0) + (field.end - field.start));
			}
		}
		const [largest] = [...bytes].toSorted((a, b) => b[1] - a[1]);
		return { inputs, weights: largest?.[0] ?? null };
	} finally {
		await file.close();
	}
}

/** Element type of one weight; its number stands before the data, so the head of the message is enough. */
async function dataType(reader: Reader, head: { start: number; end: number }): Promise<string> {
	try {
		const field = await find(reader, head, TENSOR_DATA_TYPE);
		return ELEMENT_TYPES[field?.value ?? 0] ?? 'unknown';
	} catch {
		return 'unknown';
	}
}
