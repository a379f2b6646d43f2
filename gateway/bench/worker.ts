/**
 * A Worker for `npm run bench:pool`: binds the production Pool class, and around it as little as possible. Calls come
 * in batches, so that HTTP is not what is measured; each is an RPC of its own to the pool. Settlements are taken and
 * counted by an object that stores nothing.
 * @module
 */
import { DurableObject } from 'cloudflare:workers';
import { Pool } from '../src/pool/pool.ts';
import type { CompleteInput, PoolJob, PoolRpc, Settlement } from '../src/rpc.ts';

export { Pool };

const POOL = 'pool:bench:00';

/** Takes settlements and keeps nothing but their number. */
export class BenchWorkspace extends DurableObject<Env> {
	#settled = 0;

	async settleBatch(batch: Settlement[]): Promise<{ jobId: string; outcome: 'settled' }[]> {
		this.#settled += batch.length;
		return batch.map(({ jobId }) => ({ jobId, outcome: 'settled' }));
	}

	async resultKey(): Promise<{ state: 'unknown' }> {
		return { state: 'unknown' };
	}

	async settled(): Promise<number> {
		return this.#settled;
	}
}

interface Calls {
	enqueue?: { job: PoolJob; notAfter: number }[];
	complete?: CompleteInput[];
}

type BenchPool = PoolRpc & { fetch(input: string, init?: RequestInit): Promise<Response> };

/** Every call is one RPC; they are not waited for one after the other. Answers how many were not taken. */
const call = async (pool: BenchPool, { enqueue = [], complete = [] }: Calls): Promise<{ refused: string[] }> => {
	const answers = await Promise.all([
		...enqueue.map(async ({ job, notAfter }) => {
			const answer = await pool.enqueue(job, notAfter);
			return answer.ok ? 'ok' : `enqueue: ${answer.code}`;
		}),
		...complete.map(async (input) => {
			const outcome = await pool.complete(input);
			return outcome === 'accepted' ? 'ok' : `complete: ${outcome}`;
		}),
	]);
	return { refused: answers.filter((answer) => answer !== 'ok') };
};

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		const pool: BenchPool = env.POOL.getByName(POOL);
		const { pathname } = new URL(request.url);
		if (pathname === '/health') return new Response('ok');
		if (pathname === '/connect') return pool.fetch('https://pool/node', { headers: request.headers });
		if (pathname === '/metrics') {
			const workspace = env.WORKSPACE.getByName('bench') as unknown as { settled(): Promise<number> };
			return Response.json({ ...(await pool.metrics()), settled: await workspace.settled() });
		}
		return Response.json(await call(pool, await request.json<Calls>()));
	},
};
