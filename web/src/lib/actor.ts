/**
 * Names of those who act, and of what they act on. Pure.
 * @module
 */

export interface Names {
	keys: readonly { id: string; name: string }[];
	members: readonly { accountId: string; name: string }[];
	nodes: readonly { id: string; name: string }[];
	/** For a key without a name. */
	nameless: string;
}

const known = (id: string, { keys, members, nodes, nameless }: Names): string | undefined => {
	const key = keys.find((one) => one.id === id);
	if (key !== undefined) return key.name === '' || key.name === key.id ? nameless : key.name;
	return members.find(({ accountId }) => accountId === id)?.name ?? nodes.find((node) => node.id === id)?.name;
};

const KEPT_CHARS = 6;
const LONG_CHARS = 20;
const PREFIX = /^[a-z]+_/;

/** `job_…4hyw00`; short ids stay as they are. */
export const shortId = (id: string): string => (id.length <= LONG_CHARS ? id : `${PREFIX.exec(id)?.[0] ?? ''}…${id.slice(-KEPT_CHARS)}`);

/** What the ledger calls `key:<id>`, `user:<account>`, `node:<id>` or plainly `<account>`, by the name that people know. */
export const nameOfActor = (who: string, names: Names): string => known(who.slice(who.indexOf(':') + 1), names) ?? shortId(who);

/** What something was done to; `prompts` by job. */
export const nameOfTarget = (target: string, names: Names, prompts: ReadonlyMap<string, string>): string => {
	// `img_<job>_<index>` and `<job>.<index>` are pictures of a job.
	const job = /job_[0-9a-z]{28}/.exec(target)?.[0];
	const prompt = job === undefined ? undefined : prompts.get(job);
	return (prompt === '' ? undefined : prompt) ?? known(target, names) ?? shortId(target);
};
