/**
 * Limner's own engine for bench-engine.ts, in the protocol of bench-engine.py: one request a line on stdin, events as
 * JSON on stdout.
 * @module
 */
import { createInterface } from 'node:readline';
import { DiffusionPipeline } from '../../node-agent/src/diffusion/pipeline.ts';
import type { BenchRequest } from './bench-engine-peers.ts';

const say = (event: object): void => {
	process.stdout.write(`${JSON.stringify(event)}\n`);
};

const [model = '', threads = '1'] = process.argv.slice(2);
const pipeline = await DiffusionPipeline.load(model, { intraOpNumThreads: Number(threads) });
say({ event: 'ready' });

for await (const line of createInterface({ input: process.stdin })) {
	const request = JSON.parse(line) as BenchRequest;
	const started = performance.now();
	const { images, timings } = await pipeline.generate(
		{ ...request, task: 'txt2img', negativePrompt: null },
		{
			onStep: ({ phase, step }) => {
				if (phase === 'denoising' && step === 1) say({ event: 'first' });
			},
		},
	);
	const totalMs = performance.now() - started;
	say({ event: 'done', totalMs, insideMs: timings.sessionRunMs, latents: Array.from(images[0]?.latents ?? []) });
}
await pipeline.release();
