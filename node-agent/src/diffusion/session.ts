import { InferenceSession, Tensor } from 'onnxruntime-node';
import { InferenceError, ModelFolderError } from './errors.ts';
import { decodeHalf, encodeHalf } from './half.ts';

/** How sessions are created; `undefined` leaves onnxruntime's default. */
export interface SessionOptions {
	executionProviders?: string[];
	intraOpNumThreads?: number;
	/** Microseconds for which idle threads burn their core while they wait for work; SPIN_US when absent. */
	spinUs?: number;
}

/**
 * Waking a sleeping thread costs tens of microseconds, hundreds of times a step; waiting for it without end halves the
 * speed as soon as another process wants the core. This long covers most gaps inside a step: with an idle machine as fast as
 * longer waits, with one busy core 6 % (2 rows) to 17 % (8 rows) faster than 200 µs (docs/decisions/0014).
 */
const SPIN_US = 50;

/** Work is handed to threads in shrinking pieces, so that one that lost its core for a while holds up the others less. */
const BLOCK_BASE = 4;

/** Entries of the session's configuration that the binding has no field for; all values are text. */
function tuning(options: SessionOptions): Record<string, unknown> {
	const spinUs = options.spinUs ?? SPIN_US;
	const spinning = spinUs > 0 ? { allow_spinning: '1', spin_duration_us: String(spinUs) } : { allow_spinning: '0' };
	return { session: { dynamic_block_base: String(BLOCK_BASE), intra_op: spinning } };
}

/** Adds up the time spent inside native runs. */
export interface RunClock {
	ms: number;
}

interface Port {
	type: string;
	/** Fixed sizes as numbers, symbolic ones as names. */
	shape: readonly (number | string)[];
}

/** An input whose values change between runs: write `values`, then `refresh`. */
export interface BoundInput {
	tensor: Tensor;
	refresh(): void;
}

/** Memory for an output: a run writes the tensor, `settle` brings it into `values`. */
export interface Reserved {
	values: Float32Array;
	tensor: Tensor;
	settle(): void;
}

function ports(metadata: readonly InferenceSession.ValueMetadata[]): Map<string, Port> {
	return new Map(metadata.flatMap((m) => (m.isTensor ? [[m.name, { type: m.type, shape: m.shape }] as const] : [])));
}

/** Words of the runtime in one line, without the places in its source that it names. */
function nativeWords(error: unknown): string {
	const words = error instanceof Error ? error.message : String(error);
	return words
		.replaceAll(/\/onnxruntime_src\S+ .*?\)(?= [A-Z])/g, '')
		.replaceAll(/\s+/g, ' ')
		.trim();
}

/** Characters of the runtime's own words that a sentence quotes. */
const QUOTED_CHARS = 240;

/** Why a graph could not be loaded, in a sentence that says what to do. */
function explainLoad(path: string, error: unknown): ModelFolderError | InferenceError {
	const message = nativeWords(error);
	const broken = (sentence: string): ModelFolderError => new ModelFolderError(sentence, { cause: error });
	if (/Unsupported data type|bfloat16|float8/i.test(message)) {
		return broken(`${path} takes an element type that Node cannot hold (bfloat16 or float8); export the model as float16.`);
	}
	const opset = /Opset (\d+) is under development|domain_version|opset_import/i.exec(message);
	if (opset !== null) {
		const most = /is till opset (\d+)/.exec(message)?.[1];
		const which = opset[1] === undefined ? 'an opset' : `opset ${opset[1]}`;
		const newest = most === undefined ? '' : ` (its newest is ${most})`;
		return broken(`${path} was exported for ${which}, which this ONNX Runtime does not run${newest}; export it with a lower --opset.`);
	}
	const quoted = message.slice(0, QUOTED_CHARS);
	if (/protobuf|load model|external data|no such file|ModelProto/i.test(message)) {
		return broken(`${path} cannot be loaded (${quoted}); download the model again.`);
	}
	return new InferenceError(`The device cannot run ${path}: ${quoted}`, { cause: error });
}

/** One ONNX graph: feeds and results are float32 here whatever element type the graph was exported with. */
export class ModelSession {
	readonly inputs: ReadonlyMap<string, Port>;
	readonly outputNames: readonly string[];
	readonly outputs: ReadonlyMap<string, Port>;
	readonly #session: InferenceSession;
	readonly #clock: RunClock;
	readonly #path: string;

	private constructor(session: InferenceSession, path: string, clock: RunClock) {
		this.#session = session;
		this.#path = path;
		this.#clock = clock;
		this.outputNames = session.outputNames;
		this.inputs = ports(session.inputMetadata);
		this.outputs = ports(session.outputMetadata);
	}

	/**
	 * Loads `path` (external data beside it is found by onnxruntime itself).
	 * @throws ModelFolderError when the file is no usable model, InferenceError when the device refuses it
	 */
	static async open(path: string, options: SessionOptions, clock: RunClock): Promise<ModelSession> {
		try {
			const session = await InferenceSession.create(path, {
				executionProviders: options.executionProviders ?? ['cpu'],
				graphOptimizationLevel: 'all',
				// warnings about folded constants would fill the log on every load
				logSeverityLevel: 3,
				extra: tuning(options),
				...(options.intraOpNumThreads === undefined ? {} : { intraOpNumThreads: options.intraOpNumThreads }),
			});
			return new ModelSession(session, path, clock);
		} catch (error) {
			throw explainLoad(path, error);
		}
	}

	/** A tensor for input `name` over `values`; shares the memory where the graph takes float32. */
	bind(name: string, values: Float32Array, dims: readonly number[]): BoundInput {
		const type = this.inputs.get(name)?.type ?? 'float32';
		const convert = CONVERSIONS[type];
		if (convert === undefined) {
			throw new ModelFolderError(`${this.#path} takes ${type} for its input "${name}"; export the model as float32 or float16.`);
		}
		return convert(values, dims);
	}

	/**
	 * Runs the graph.
	 * @param outputs names of the outputs to compute; all others are skipped
	 * @param into memory for outputs, from `reserve`; what has none gets new memory
	 * @throws InferenceError when the native run fails
	 */
	async run(
		feeds: Readonly<Record<string, Tensor>>,
		outputs: readonly string[],
		into: ReadonlyMap<string, Reserved> = new Map(),
	): Promise<Map<string, Float32Array>> {
		const started = performance.now();
		let results: InferenceSession.OnnxValueMapType;
		try {
			const fetches = Object.fromEntries(outputs.map((name) => [name, into.get(name)?.tensor ?? null]));
			results = await this.#session.run(feeds, fetches);
		} catch (error) {
			throw new InferenceError(`Running ${this.#path} failed: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
		} finally {
			this.#clock.ms += performance.now() - started;
		}
		return new Map(
			outputs.map((name) => {
				const reserved = into.get(name);
				reserved?.settle();
				return [name, reserved?.values ?? asFloat32(results[name], this.#path)];
			}),
		);
	}

	/** Memory that runs write output `name` into, so that none is taken in the loop; null where the graph returns no floats. */
	reserve(name: string, dims: readonly number[]): Reserved | null {
		const values = new Float32Array(dims.reduce((a, b) => a * b, 1));
		const type = this.outputs.get(name)?.type;
		if (type === 'float32') return { values, tensor: new Tensor('float32', values, dims), settle: () => {} };
		if (type !== 'float16') return null;
		const bits = new Uint16Array(values.length);
		return { values, tensor: halfTensor(bits, dims), settle: () => decodeHalf(bits, values) };
	}

	async release(): Promise<void> {
		await this.#session.release();
	}
}

const CONVERSIONS: Readonly<Record<string, (values: Float32Array, dims: readonly number[]) => BoundInput>> = {
	float32: (values, dims) => ({ tensor: new Tensor('float32', values, dims), refresh: () => {} }),
	float16: (values, dims) => {
		const bits = new Uint16Array(values.length);
		const refresh = (): void => encodeHalf(values, bits);
		refresh();
		return { tensor: halfTensor(bits, dims), refresh };
	},
	int64: (values, dims) => {
		const whole = new BigInt64Array(values.length);
		const refresh = (): void => values.forEach((v, i) => (whole[i] = BigInt(Math.round(v))));
		refresh();
		return { tensor: new Tensor('int64', whole, dims), refresh };
	},
	int32: (values, dims) => {
		const whole = new Int32Array(values.length);
		const refresh = (): void => values.forEach((v, i) => (whole[i] = Math.round(v)));
		refresh();
		return { tensor: new Tensor('int32', whole, dims), refresh };
	},
	bool: (values, dims) => ({ tensor: new Tensor('bool', Uint8Array.from(values), dims), refresh: () => {} }),
};

/**
 * A float16 tensor over raw bits. Where Float16Array exists (Node 24) the library wraps the bits in one, which its own
 * native side cannot read ("not enough space: expected 8, got 0"), so the tensor is made to show the bits themselves.
 */
function halfTensor(bits: Uint16Array, dims: readonly number[]): Tensor {
	const tensor = new Tensor('float16', bits, dims);
	Object.defineProperty(tensor, 'data', { value: bits });
	return tensor;
}

function asFloat32(value: unknown, path: string): Float32Array {
	if (!(value instanceof Tensor)) throw new InferenceError(`${path} returned something that is not a tensor.`);
	const { data } = value;
	if (data instanceof Float32Array) return data;
	if (value.type === 'float16' && ArrayBuffer.isView(data)) {
		// Node 24 hands halves out as Float16Array, older ones as Uint16Array: both hold the same bits
		const bits = new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2);
		return decodeHalf(bits, new Float32Array(bits.length));
	}
	throw new ModelFolderError(`${path} returns ${value.type} values; export the model as float32 or float16.`);
}
