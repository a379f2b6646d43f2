/**
 * Entry of a process that tries one execution provider: it loads the probe model with placement on the CPU forbidden, runs
 * it, and compares numbers. A process of its own, because a driver that fails may take its process with it.
 * @module
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { messageOf } from '../lib/user-error.ts';
import { PROBE_INPUT, PROBE_MODEL, PROBE_OUTPUT, probeError } from './probe-model.ts';
import type { ProbeMessage } from './probe.ts';

const provider = process.argv[2] ?? 'cpu';

const probe = async (): Promise<ProbeMessage> => {
	const started = performance.now();
	const session = await InferenceSession.create(new Uint8Array(Buffer.from(PROBE_MODEL, 'base64')), {
		executionProviders: [provider],
		intraOpNumThreads: 1,
		logSeverityLevel: 3,
		// Without this a provider that does nothing at all looks as if it worked: the CPU takes over in silence.
		...(provider === 'cpu' ? {} : { extra: { session: { disable_cpu_ep_fallback: '1' } } }),
	});
	const loadMs = performance.now() - started;
	const run = async (): Promise<{ ms: number; error: number }> => {
		const began = performance.now();
		const results = await session.run({ [PROBE_INPUT.name]: new Tensor('float32', PROBE_INPUT.values, PROBE_INPUT.dims) });
		const data = results[PROBE_OUTPUT]?.data;
		return { ms: performance.now() - began, error: data instanceof Float32Array ? probeError(data) : Number.POSITIVE_INFINITY };
	};
	// The first run compiles kernels; the second one is the device's own time.
	const first = await run();
	const second = await run();
	await session.release();
	return { ok: true, loadMs, runMs: second.ms, error: Math.max(first.error, second.error) };
};

const send = (message: ProbeMessage): void => {
	process.send?.(message, undefined, undefined, () => process.exit(0));
};

try {
	send(await probe());
} catch (error) {
	send({ ok: false, message: messageOf(error) });
}
