/**
 * A real gateway for whole-system tests: the deployed bundle in workerd, in a temporary state folder, with handles to
 * break it and to look at its rows and objects from outside.
 * @module
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { JobView } from '@limner/shared';
import { startGateway, type RunningGateway } from '../../node-agent/src/cli/up/gateway.ts';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { openState, type LocalState } from '../../node-agent/src/cli/up/state.ts';
import { makeJoinToken } from '../../node-agent/src/cli/up/node.ts';
import { until } from './until.ts';

export interface ApiAnswer<T = unknown> {
	status: number;
	headers: Headers;
	body: T;
}

/** Pids of a process's children. */
export const childrenOf = (pid: number): number[] => {
	try {
		return execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
			.split('\n')
			.map((line) => Number(line.trim()))
			.filter((child) => child > 0);
	} catch {
		return [];
	}
};

type Row = Record<string, unknown>;

export class TestGateway {
	readonly state: LocalState;
	readonly gateway: RunningGateway;
	constructor(state: LocalState, gateway: RunningGateway) {
		this.state = state;
		this.gateway = gateway;
	}

	get url(): string {
		return this.gateway.url;
	}

	get key(): string {
		return this.state.apiKey;
	}

	/** One request with the key; the body is sent as JSON unless it is bytes or text already. */
	async api<T = Record<string, unknown>>(
		method: string,
		path: string,
		body?: unknown,
		headers: Record<string, string> = {},
	): Promise<ApiAnswer<T>> {
		const raw = body instanceof Uint8Array || typeof body === 'string';
		const response = await fetch(`${this.url}${path}`, {
			method,
			headers: {
				authorization: `Bearer ${this.key}`,
				...(body === undefined || raw ? {} : { 'content-type': 'application/json' }),
				...headers,
			},
			...(body === undefined ? {} : { body: raw ? (body as string | Uint8Array<ArrayBuffer>) : JSON.stringify(body) }),
		});
		const text = await response.text();
		const json = (response.headers.get('content-type') ?? '').includes('json');
		return { status: response.status, headers: response.headers, body: (json ? JSON.parse(text) : text) as T };
	}

	async submit(body: Record<string, unknown>, headers: Record<string, string> = {}): Promise<JobView> {
		const answer = await this.api<JobView>('POST', '/api/v1/jobs', body, headers);
		if (answer.status !== 202) throw new Error(`submit answered ${answer.status}: ${JSON.stringify(answer.body)}`);
		return answer.body;
	}

	async job(id: string): Promise<JobView> {
		const answer = await this.api<JobView>('GET', `/api/v1/jobs/${id}`);
		if (answer.status !== 200) throw new Error(`job answered ${answer.status}: ${JSON.stringify(answer.body)}`);
		return answer.body;
	}

	async jobEnded(id: string, timeoutMs = 60_000): Promise<JobView> {
		return until(
			`job ${id} ends`,
			async () => {
				const view = await this.job(id);
				return ['succeeded', 'failed', 'canceled', 'expired'].includes(view.state) ? view : undefined;
			},
			timeoutMs,
		);
	}

	async joinToken(trust: 'own' | 'shared' = 'own'): Promise<string> {
		if (trust === 'own') return makeJoinToken(this.url, this.key);
		return (await this.api<{ token: string }>('POST', '/api/v1/join-tokens', { trust, maxUses: 1 })).body.token;
	}

	async workers(): Promise<{ id: string; name: string; link: string; mode: string; slots: { state: string }[] }[]> {
		return (
			await this.api<{ data: { id: string; name: string; link: string; mode: string; slots: { state: string }[] }[] }>(
				'GET',
				'/api/v1/supervisor/workers',
			)
		).body.data;
	}

	/** SIGKILL for workerd itself, as a crash of the machine would do; the host starts anew with the same state. */
	async crash(): Promise<void> {
		const host = this.gateway.pid;
		for (const pid of childrenOf(host)) process.kill(pid, 'SIGKILL');
		process.kill(host, 'SIGKILL');
		await until('a new gateway host', () => Promise.resolve(this.gateway.pid !== host ? true : undefined), 30_000);
		await this.healthy();
	}

	async healthy(): Promise<void> {
		await until(
			'the gateway answers',
			async () => {
				try {
					return (await fetch(`${this.url}/health`)).ok ? true : undefined;
				} catch {
					return undefined;
				}
			},
			30_000,
		);
	}

	/** All rows of a table in every Durable Object of a class, read from the files, not through the gateway. */
	rows(className: 'Pool' | 'Workspace' | 'Registry', table: string): Row[] {
		const root = join(this.state.dir, 'gateway', 'do');
		const folder = readdirSync(root).find((name) => name.endsWith(`-${className}`));
		if (folder === undefined) return [];
		return readdirSync(join(root, folder))
			.filter((name) => name.endsWith('.sqlite') && name !== 'metadata.sqlite')
			.flatMap((name) => readTable(join(root, folder, name), table));
	}

	/** Keys of all stored objects, read from the bucket's own index. */
	objects(): string[] {
		const folder = join(this.state.dir, 'gateway', 'r2', 'miniflare-R2BucketObject');
		return readdirSync(folder)
			.filter((name) => name.endsWith('.sqlite') && name !== 'metadata.sqlite')
			.flatMap((name) => readTable(join(folder, name), '_mf_objects'))
			.map((row) => String(row['key']))
			.toSorted();
	}

	/** Lines of the gateway's log, parsed. Throws on a line that is not JSON. */
	log(): Row[] {
		return readFileSync(join(this.state.dir, 'gateway.log'), 'utf8')
			.split('\n')
			.filter((line) => line !== '')
			.map((line) => JSON.parse(line) as Row);
	}

	async stop(): Promise<void> {
		await this.gateway.stop();
		rmSync(this.state.dir, { recursive: true, force: true, maxRetries: 5 });
	}
}

const readTable = (file: string, table: string): Row[] => {
	const db = new DatabaseSync(file, { readOnly: true, timeout: 2000 });
	try {
		const known = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name = ?").get(table);
		return known === undefined ? [] : db.prepare(`SELECT * FROM "${table}"`).all();
	} finally {
		db.close();
	}
};

export const startTestGateway = async (vars: Record<string, string> = {}): Promise<TestGateway> => {
	const state = openState(mkdtempSync(join(tmpdir(), 'limner-gateway-')));
	const gateway = await startGateway({ root: projectRoot(), state, host: '127.0.0.1', port: 0, vars });
	return new TestGateway(state, gateway);
};
