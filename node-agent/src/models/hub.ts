/**
 * The API of a Hugging Face hub as far as a download needs it: which commit a revision is, and which files it has.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { PULL_LIMITS } from '@limner/shared';
import { z } from 'zod';
import { errorCode, messageOf, UserError } from '../lib/user-error.ts';
import { fullJitter, sleep } from '../lib/backoff.ts';
import type { HubAnswer, HubClient } from './http.ts';

export const DEFAULT_ENDPOINT = 'https://huggingface.co';

export interface RepoSpec {
	/** `owner/name`, or a bare `name`. */
	repo: string;
	/** Branch, tag or commit; `main` when none was given. */
	revision: string;
}

/** A file of one commit. */
export interface HubFile {
	path: string;
	bytes: number;
	/** What its content hashes to: sha256 of large files, git's blob id of others. Names the blob in the cache. */
	oid: string;
	kind: 'sha256' | 'git-sha1';
}

export interface RepoInfo {
	commit: string;
	gated: boolean;
	licence?: string;
}

const REPO = /^(?:[A-Za-z0-9][\w.-]{0,95}\/)?[A-Za-z0-9][\w.-]{0,95}$/;
const REVISION = /^[\w.][\w./+-]{0,199}$/;

/**
 * Reads `owner/name[@revision]`, or the address of a model's page.
 * @throws {UserError} when it is neither
 */
export const parseRepoSpec = (text: string): RepoSpec => {
	const plain = text.trim().replace(/^https?:\/\/[^/]+\//, '');
	const [, address, branch] = /^([^/]+\/[^/@]+)\/tree\/(.+?)\/?$/.exec(plain) ?? [];
	const [repo = '', revision = 'main'] = address === undefined ? plain.replace(/\/$/, '').split('@', 2) : [address, branch];
	const wrong = !REPO.test(repo) || !REVISION.test(revision) || [repo, revision].some((part) => part.includes('..'));
	if (wrong) throw new UserError(`"${text}" names no model; give it as owner/name, or owner/name@revision.`);
	return { repo, revision };
};

/** Folder of Hugging Face's own settings and caches. */
export const hfHome = (env: NodeJS.ProcessEnv): string =>
	env['HF_HOME'] || join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'huggingface');

/** The token that the user has set, or kept with `hf auth login`. */
export const hubToken = (env: NodeJS.ProcessEnv): string | undefined => {
	const given = (env['HF_TOKEN'] || env['HUGGING_FACE_HUB_TOKEN'] || '').trim();
	if (given !== '') return given;
	const file = env['HF_TOKEN_PATH'] || join(hfHome(env), 'token');
	const kept = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
	return kept === '' ? undefined : kept;
};

/** Where the hub is. @throws {UserError} when `HF_ENDPOINT` is no address */
export const hubEndpoint = (env: NodeJS.ProcessEnv): string => {
	const given = (env['HF_ENDPOINT'] || DEFAULT_ENDPOINT).replace(/\/+$/, '');
	if (URL.canParse(given) && /^https?:$/.test(new URL(given).protocol)) return given;
	throw new UserError(`HF_ENDPOINT="${given}" is no address; set it to one like ${DEFAULT_ENDPOINT}.`);
};

const header = (answer: Pick<HubAnswer, 'headers'>, name: string): string => String(answer.headers[name] ?? '');

type Refused = Pick<HubAnswer, 'status' | 'headers' | 'fromHub'>;
type Asked = Pick<HubClient, 'endpoint' | 'token'>;

const gatedSentence = (page: string, { endpoint, token }: Asked, repo: string): string => {
	const accept = `accept its terms at ${page}`;
	if (token === undefined)
		return `${repo} is gated: ${accept}, make a token at ${endpoint}/settings/tokens, and run the command again with HF_TOKEN=<token>.`;
	return `${repo} is gated and this token may not read it: ${accept} with the account of the token (some authors grant access by hand, which takes time), and let the token read gated repositories.`;
};

/** Sentences by the hub's own codes. */
const byCode = (code: string, spec: RepoSpec, asked: Asked): string | undefined => {
	const page = `${asked.endpoint}/${spec.repo}`;
	if (code === 'GatedRepo') return gatedSentence(page, asked, spec.repo);
	if (code === 'RevisionNotFound')
		return `${spec.repo} has no revision "${spec.revision}"; its branches and tags are listed at ${page}/tree/main.`;
	if (code === 'EntryNotFound')
		return `${spec.repo} at ${spec.revision} lacks a file that its list names; try again later, or another revision.`;
	if (code !== 'RepoNotFound') return undefined;
	const how =
		asked.token === undefined ? 'if it is private, set HF_TOKEN' : 'if it is private, the token in HF_TOKEN must be valid and may read it';
	return `${asked.endpoint} has no model ${spec.repo} that you may see; check its name, and ${how}.`;
};

/** Answers that another try may change. */
const PASSING: ReadonlySet<number> = new Set([408, 416, 425, 429]);

/** The sentence for an answer that no repetition would change, or nothing. */
export const refusal = (answer: Refused, spec: RepoSpec, asked: Asked): string | undefined => {
	const { status } = answer;
	// A store that the hub redirects to refuses addresses that have grown old; the next try gets a new one.
	if (status < 400 || status >= 500 || PASSING.has(status) || !answer.fromHub) return undefined;
	const known = byCode(header(answer, 'x-error-code'), spec, asked);
	if (known !== undefined) return known;
	if (status === 404) return byCode('RepoNotFound', spec, asked);
	if (status === 401 || status === 403) {
		const token = asked.token === undefined ? 'set HF_TOKEN to a token' : 'check that the token in HF_TOKEN is valid';
		return `${asked.endpoint} does not let you read ${spec.repo} (status ${status}): if it is gated, accept its terms at ${asked.endpoint}/${spec.repo}; then ${token} of an account that may read it.`;
	}
	const message = header(answer, 'x-error-message');
	return `${asked.endpoint} refuses ${spec.repo} with status ${status}${message === '' ? '' : ` (${message})`}.`;
};

/** The sentence for a hub that does not answer. */
export const unreachable = (endpoint: string, error: unknown, mirror = 'HF_ENDPOINT'): UserError =>
	new UserError(
		`${endpoint} cannot be reached (${errorCode(error) ?? messageOf(error)}); check the network, HTTPS_PROXY if there is a proxy, and ${mirror} if you use a mirror. What came so far is kept: run the command again to go on.`,
		{ cause: error },
	);

const readText = async (answer: HubAnswer): Promise<string> => {
	const chunks: Buffer[] = [];
	let bytes = 0;
	for await (const chunk of answer.body) {
		const part = chunk as Buffer;
		bytes += part.length;
		if (bytes > PULL_LIMITS.apiBytes) throw new Error('the answer is far too long');
		chunks.push(part);
	}
	return Buffer.concat(chunks).toString('utf8');
};

const getJson = async (client: HubClient, url: string, spec: RepoSpec): Promise<{ value: unknown; next: string | undefined }> => {
	let failure: unknown;
	for (let attempt = 0; attempt < PULL_LIMITS.apiTries; attempt++) {
		if (attempt > 0)
			await sleep(fullJitter(attempt - 1, Math.random(), { firstMs: PULL_LIMITS.retryFirstMs, capMs: PULL_LIMITS.retryCapMs }));
		try {
			const answer = await client.get(url);
			const text = await readText(answer);
			const sentence = refusal(answer, spec, client);
			if (sentence !== undefined) throw new UserError(sentence);
			if (answer.status !== 200) throw new Error(`status ${answer.status}`);
			return { value: JSON.parse(text), next: /<([^>]+)>\s*;\s*rel="next"/.exec(header(answer, 'link'))?.[1] };
		} catch (error) {
			if (error instanceof UserError) throw error;
			failure = error;
		}
	}
	throw unreachable(client.endpoint, failure);
};

const Info = z.object({
	sha: z.string().regex(/^[0-9a-f]{40}$/),
	gated: z.union([z.boolean(), z.string()]).nullish(),
	cardData: z.object({ license: z.string().optional(), license_name: z.string().optional() }).nullish().catch(undefined),
});

/** A path that stays inside the folder it is written to, on every system. */
const safePath = (path: string): boolean =>
	!/[\\:\0]/.test(path) && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');

const Entry = z.object({
	type: z.string(),
	path: z.string(),
	size: z.int().min(0).default(0),
	oid: z.string().default(''),
	lfs: z.object({ oid: z.string(), size: z.int().min(0) }).nullish(),
});

const toFile = (entry: z.infer<typeof Entry>): HubFile => {
	const file: HubFile =
		entry.lfs === null || entry.lfs === undefined
			? { path: entry.path, bytes: entry.size, oid: entry.oid, kind: 'git-sha1' }
			: { path: entry.path, bytes: entry.lfs.size, oid: entry.lfs.oid.replace(/^sha256:/, ''), kind: 'sha256' };
	const pattern = file.kind === 'sha256' ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/;
	if (!safePath(file.path) || !pattern.test(file.oid)) {
		throw new UserError(`The hub lists the file "${file.path}" in a way that is not safe to download; nothing was written.`);
	}
	return file;
};

const notTheHub = (client: HubClient): UserError =>
	new UserError(`${client.endpoint} does not answer like a Hugging Face hub; check HF_ENDPOINT.`);

/** The commit that a revision is now. @throws {UserError} */
export const repoInfo = async (client: HubClient, spec: RepoSpec): Promise<RepoInfo> => {
	const { value } = await getJson(client, `${client.endpoint}/api/models/${spec.repo}/revision/${encodeURIComponent(spec.revision)}`, spec);
	const info = Info.safeParse(value);
	if (!info.success) throw notTheHub(client);
	const licence = info.data.cardData?.license_name ?? info.data.cardData?.license;
	return { commit: info.data.sha, gated: Boolean(info.data.gated), ...(licence === undefined ? {} : { licence }) };
};

/** Every file of a commit. @throws {UserError} */
export const listFiles = async (client: HubClient, spec: RepoSpec, commit: string): Promise<HubFile[]> => {
	const files: HubFile[] = [];
	let url: string | undefined = `${client.endpoint}/api/models/${spec.repo}/tree/${commit}?recursive=true`;
	for (let page = 0; url !== undefined && page < PULL_LIMITS.apiPages; page++) {
		const answer: { value: unknown; next: string | undefined } = await getJson(client, url, spec);
		const entries = z.array(Entry).safeParse(answer.value);
		if (!entries.success) throw notTheHub(client);
		files.push(...entries.data.filter((entry) => entry.type === 'file').map(toFile));
		url = answer.next === undefined ? undefined : new URL(answer.next, url).href;
	}
	return files;
};

/** Address of a file of a commit. */
export const fileUrl = (endpoint: string, repo: string, commit: string, path: string): string =>
	`${endpoint}/${repo}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`;
