/**
 * Names instead of ids: who did something, and to what.
 * @module
 */
import { useQuery } from '@tanstack/react-query';
import { useEntries } from '../features/jobs/store.ts';
import { p } from '../strings/pool.ts';
import { nameOfActor, nameOfTarget } from './actor.ts';
import { useImages } from './queries.ts';
import { useMay, useMe } from './scopes.ts';
import { client } from './session.ts';

const NAMES_MS = 60_000;

const usePeople = () => {
	const me = useMe();
	const mayKeys = useMay('keys:read');
	const mayMembers = useMay('members:read');
	const mayNodes = useMay('supervisor:read');
	const known = me !== undefined;
	const common = { staleTime: NAMES_MS };
	const { data: keys = [] } = useQuery({
		...common,
		queryKey: ['keys'],
		queryFn: ({ signal }) => client.keys.list({ signal }),
		enabled: known && mayKeys,
	});
	const { data: members = [] } = useQuery({
		...common,
		queryKey: ['members', me?.workspaceId],
		queryFn: ({ signal }) => client.members.list(me?.workspaceId ?? '', { signal }),
		enabled: known && mayMembers,
	});
	const { data: nodes = [] } = useQuery({
		...common,
		queryKey: ['nodes'],
		queryFn: ({ signal }) => client.nodes.list({}, { signal }),
		enabled: known && mayNodes,
	});
	return { keys, members, nodes, nameless: p.keys.first };
};

/** Names whoever the ledger calls `key:…`, `user:…` or `node:…`; what is not known keeps its id. */
export const useWho = (): ((who: string) => string) => {
	const people = usePeople();
	return (who) => nameOfActor(who, people);
};

/** The same for what something was done to: a job by its prompt, a machine, key or person by its name. */
export const useWhat = (): ((target: string) => string) => {
	const people = usePeople();
	const entries = useEntries();
	const { data } = useImages();
	const prompts = new Map(data?.pages.flatMap((page) => page.data.map(({ jobId, prompt }) => [jobId, prompt] as const)));
	for (const { key, request } of entries) prompts.set(key, request.prompt);
	return (target) => nameOfTarget(target, people, prompts);
};
