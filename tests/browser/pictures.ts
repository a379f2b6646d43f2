/**
 * A workspace with many pictures in it.
 * @module
 */
import type { TestGateway } from '../lib/gateway.ts';
import { until } from '../lib/until.ts';

/** Pictures of one job. */
const EACH = 16;
/** The gateway takes 100 open jobs. */
const AT_A_TIME = 40;

/** Has `count` small pictures made, and waits until the gallery has them all. */
export const makePictures = async (gateway: TestGateway, count: number): Promise<void> => {
	const usage = async (): Promise<number> => (await gateway.api<{ images: number }>('GET', '/api/v1/resources/usage')).body.images;
	const before = await usage();
	const jobs = Math.ceil(count / EACH);
	for (let from = 0; from < jobs; from += AT_A_TIME) {
		const some = Array.from({ length: Math.min(AT_A_TIME, jobs - from) }, (_, i) => from + i);
		await Promise.all(
			some.map((seed) => gateway.submit({ prompt: `a red castle number ${seed}`, seed, n: EACH, steps: 1, width: 64, height: 64 })),
		);
		const wanted = before + (from + some.length) * EACH;
		await until(`${wanted} pictures`, async () => ((await usage()) >= wanted ? true : undefined), 120_000);
	}
};
