// Stops a generation: the job is cancelled at the gateway, and its engine stops within a step.
import { Limner } from '@limner/sdk';

const limner = new Limner({ baseUrl: process.env['LIMNER_URL'] ?? 'http://127.0.0.1:8787', apiKey: process.env['LIMNER_API_KEY'] ?? '' });
const abort = new AbortController();
let job = '';
try {
	await limner.images.generate(
		{ prompt: 'a picture that nobody will see', steps: 150 },
		{
			signal: abort.signal,
			onProgress: (progress, accepted) => {
				job = accepted.id;
				if (progress.step !== undefined) abort.abort();
			},
		},
	);
} catch (error) {
	if (!abort.signal.aborted) throw error;
}
console.log(`${job}: ${(await limner.jobs.get(job)).state}`);
