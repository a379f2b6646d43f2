/**
 * What every node has to do, as conversations. A case throws when the node does something else. Times are bounds of
 * the protocol with generous slack, never measures of speed.
 * @module
 */
import { createHash } from 'node:crypto';
import { resultMaxBytes, type GrantRef } from '@limner/shared';
import { sleep, until } from '../lib/until.ts';
import type { Conversation, Upload } from './gateway.ts';
import { bare, isGrant, type Grant, type Rig } from './rig.ts';

export interface Case {
	name: string;
	run: (rig: Rig) => Promise<void>;
}

const check = (condition: boolean, sentence: string): void => {
	if (!condition) throw new Error(sentence);
};

const PNG = '89504e470d0a1a0a';

/** The header of a PNG says what was ordered, and the headers of the request tell the truth. */
const checkUpload = (upload: Upload): void => {
	const { bytes, headers } = upload;
	check(bytes.subarray(0, 8).toString('hex') === PNG, 'the upload is no PNG');
	check(bytes.readUInt32BE(16) === 64 && bytes.readUInt32BE(20) === 64, 'the picture has another size than was ordered');
	check(bytes.length <= resultMaxBytes(64, 64), `the picture has ${bytes.length} bytes`);
	check(headers['content-type'] === 'image/png', `content-type is ${headers['content-type']}`);
	check(headers['content-length'] === String(bytes.length), 'content-length is missing or wrong');
	check(headers['x-content-sha256'] === createHash('sha256').update(bytes).digest('hex'), 'x-content-sha256 is not the hash of the body');
	const meta = String(headers['x-limner-meta'] ?? '');
	check(meta === '' || typeof JSON.parse(Buffer.from(meta, 'base64url').toString()) === 'object', 'x-limner-meta is not base64url JSON');
};

const acked = (rig: Rig, grant: Grant, timeoutMs = 10_000): Promise<unknown> =>
	rig.gateway.frame('ack', (frame) => isGrant(grant)(frame) && frame.slotId === grant.slotId, timeoutMs);

/** Grants a task and sees it through. */
const works = async (rig: Rig, talk: Conversation): Promise<Grant> => {
	const grant = rig.grant(talk);
	await acked(rig, grant);
	checkUpload(await rig.gateway.upload(grant.ticket, 200));
	return grant;
};

/** The node is at work on it: it has acknowledged and not finished. */
const begun = async (rig: Rig, talk: Conversation): Promise<Grant> => {
	const grant = rig.grant(talk);
	await acked(rig, grant);
	check(rig.gateway.find('generated', isGrant(grant)) === undefined, 'the node is too fast for this case: 30 steps should take a second');
	return grant;
};

const lists = (refs: readonly GrantRef[], grant: GrantRef): boolean => refs.some(isGrant(grant));
const notUploaded = (rig: Rig, grant: Grant, why: string): void =>
	check(!rig.gateway.uploads.some((upload) => upload.ticket === grant.ticket), `${why}, and its picture is uploaded all the same`);

const QUIET_MS = 4000;
/** A full jitter of one second, and the time to connect. */
const FIRST_RECONNECT_MS = 8000;

const back = async (rig: Rig, connections: number, withinMs = FIRST_RECONNECT_MS): Promise<Conversation> => {
	const began = Date.now();
	const talk = await rig.gateway.online(connections);
	check(Date.now() - began <= withinMs, `the node came back after ${Date.now() - began} ms, at most ${withinMs} are allowed`);
	return talk;
};

/** Ends the connection and expects that the node never comes again, and that its process says so by ending. */
const staysAway = async (rig: Rig, act: (talk: Conversation) => void): Promise<void> => {
	act(await rig.online());
	await rig.exits();
	check(rig.exitCode !== 0, 'the process ends with code 0 although it gave up');
	check(rig.gateway.conversations.length === 1, 'the node connected again');
};

const comesBack = async (rig: Rig, code: number, withinMs: number): Promise<void> => {
	const talk = await rig.online();
	talk.ws.close(code, 'as the case says');
	await works(rig, await back(rig, 2, withinMs));
};

const order = (talk: Conversation, frame: Record<string, unknown>): void => talk.ws.send(JSON.stringify(frame));

export const CASES: readonly Case[] = [
	{
		name: 'enrols with a join token and its public key, and greets with a signature over the challenge',
		run: async (rig) => {
			const talk = await rig.online();
			check(rig.gateway.enrolments.length === 1, 'the node enrolled more than once');
			check(talk.hello?.v === 1, 'hello does not say v: 1');
			check((talk.hello?.models.length ?? 0) > 0, 'hello offers no model');
		},
	},
	{
		name: 'takes a task: ack within 3 s, generated, the picture by PUT',
		run: async (rig) => {
			const talk = await rig.online();
			const grant = rig.grant(talk);
			await acked(rig, grant, 3000);
			checkUpload(await rig.gateway.upload(grant.ticket, 200));
			await rig.gateway.frame('generated', (frame) => isGrant(grant)(frame) && frame.slotId === grant.slotId);
			check(!talk.frames.some(({ frame }) => frame.t === 'failed'), 'a task that succeeded was also reported as failed');
		},
	},
	{
		name: 'sends the text "ping" every 4 s ± 10 %, and progress no oftener than it was told',
		run: async (rig) => {
			const talk = await rig.online();
			rig.grant(talk, {}, { steps: 100 });
			await until('three pings', () => (talk.pings.length >= 3 ? true : undefined), 25_000);
			const gaps = talk.pings.slice(1).map((at, i) => at - (talk.pings[i] ?? 0));
			check(
				gaps.every((gap) => gap > 3000 && gap < 6500),
				`the pings are ${gaps.join(' and ')} ms apart`,
			);
			const progress = talk.frames.filter(({ frame }) => frame.t === 'progress').length;
			check(progress <= 8, `${progress} progress frames in 12 s, one every 2 s is enough`);
		},
	},
	{
		name: 'ignores frames of a newer version, fields it does not know, and texts that are no frames',
		run: async (rig) => {
			const talk = await rig.online();
			for (const text of [
				'{"t":"from-the-future","x":1}',
				'not json',
				'[]',
				'{"t":"task"}',
				'{"t":"cancel","jobId":"job_x","index":0,"epoch":1,"reason":"unknown"}',
				'pong',
			])
				talk.ws.send(text);
			const grant = rig.grant(talk, { fieldOfNextVersion: { deep: [1] } });
			checkUpload(await rig.gateway.upload(grant.ticket, 200));
			check(rig.gateway.conversations.length === 1, 'the node reconnected');
		},
	},
	{
		name: 'repeats an upload, byte for byte, until the gateway has decided',
		run: async (rig) => {
			const talk = await rig.online();
			rig.gateway.uploadStatus = [503, 500, 200];
			const grant = rig.grant(talk);
			checkUpload(await rig.gateway.upload(grant.ticket, 200));
			const hashes = new Set(rig.gateway.uploads.map((upload) => upload.headers['x-content-sha256']));
			check(hashes.size === 1, 'the repeats are not the same bytes');
			await sleep(QUIET_MS);
			check(rig.gateway.uploads.length === 3, 'the node uploads again after 200');
		},
	},
	{
		name: 'throws a picture away on 409, 410 and 422, and goes on working',
		run: async (rig) => {
			const talk = await rig.online();
			for (const status of [409, 410, 422]) {
				rig.gateway.uploadStatus = [status];
				const grant = rig.grant(talk);
				await rig.gateway.upload(grant.ticket, status);
			}
			await sleep(QUIET_MS);
			check(rig.gateway.uploads.length === 3, `${rig.gateway.uploads.length} uploads of three refused pictures`);
			rig.gateway.uploadStatus = [200];
			await works(rig, talk);
		},
	},
	{
		name: 'stops a cancelled task, uploads nothing of it, and has its slot free again',
		run: async (rig) => {
			const talk = await rig.online();
			const grant = await begun(rig, talk);
			order(talk, { t: 'cancel', ...bare(grant), reason: 'the caller canceled the job' });
			await works(rig, talk);
			notUploaded(rig, grant, 'the task was cancelled');
		},
	},
	{
		name: 'goes on when a cancel names an older epoch (stale frame)',
		run: async (rig) => {
			const talk = await rig.online();
			const grant = rig.grant(talk, { epoch: 3, ticket: 'ticket-epoch-3' });
			await acked(rig, grant);
			order(talk, { t: 'cancel', ...bare(grant), epoch: 2, reason: 'stale' });
			checkUpload(await rig.gateway.upload('ticket-epoch-3', 200));
		},
	},
	{
		name: 'makes the picture of the newer grant when its task is granted again',
		run: async (rig) => {
			const talk = await rig.online();
			const old = await begun(rig, talk);
			order(talk, { t: 'cancel', ...bare(old), reason: 'stale' });
			const newer = rig.grant(talk, { jobId: old.jobId, epoch: 2, ticket: 'ticket-newer' });
			await acked(rig, newer);
			checkUpload(await rig.gateway.upload('ticket-newer', 200));
			notUploaded(rig, old, 'the grant was replaced');
		},
	},
	{
		name: 'draws once although the task arrives twice',
		run: async (rig) => {
			const talk = await rig.online();
			const grant = rig.grant(talk);
			rig.grant(talk, bare(grant));
			await rig.gateway.upload(grant.ticket, 200);
			await sleep(QUIET_MS);
			const made = talk.frames.filter(({ frame }) => frame.t === 'generated').length;
			check(made === 1, `the node drew ${made} times`);
		},
	},
	{
		name: 'says failed for what it cannot do, and stays',
		run: async (rig) => {
			const talk = await rig.online();
			const grant = rig.grant(talk, {}, { model: 'no-such-model' });
			await rig.gateway.frame('failed', isGrant(grant));
			await works(rig, talk);
		},
	},
	{
		name: 'comes back after a cut, names the running grant, and finishes it (resume)',
		run: async (rig) => {
			const first = await rig.online();
			const grant = await begun(rig, first);
			rig.gateway.keep = [bare(grant)];
			first.ws.terminate();
			const second = await back(rig, 2);
			const hello = second.hello;
			check(hello?.bootId === first.hello?.bootId, 'the bootId changed without a restart');
			check(
				lists(hello?.running ?? [], grant) || lists(hello?.finished ?? [], grant),
				'hello names the grant neither as running nor as finished',
			);
			checkUpload(await rig.gateway.upload(grant.ticket, 200));
		},
	},
	{
		name: 'stops what the welcome says to drop',
		run: async (rig) => {
			const first = await rig.online();
			const grant = await begun(rig, first);
			rig.gateway.drop = [bare(grant)];
			first.ws.terminate();
			await works(rig, await back(rig, 2));
			notUploaded(rig, grant, 'the grant was dropped');
		},
	},
	{
		name: 'keeps a finished picture across SIGKILL and uploads the same bytes after the restart',
		run: async (rig) => {
			const first = await rig.online();
			rig.gateway.uploadStatus = [503];
			const grant = rig.grant(first);
			const before = await rig.gateway.upload(grant.ticket, 503);
			await rig.kill();
			rig.gateway.uploadStatus = [200];
			rig.gateway.keep = [bare(grant)];
			rig.start();
			const after = await rig.gateway.upload(grant.ticket, 200);
			check(before.bytes.equals(after.bytes), 'the bytes changed over the restart');
			const second = await rig.gateway.online(2);
			check(second.hello?.bootId !== first.hello?.bootId, 'the bootId is the same after a restart');
			check(rig.gateway.enrolments.length === 1, 'the node enrolled again although it has a certificate');
		},
	},
	{
		name: 'lists a picture that waits for its upload as finished when it reconnects',
		run: async (rig) => {
			const first = await rig.online();
			rig.gateway.uploadStatus = [503];
			const grant = rig.grant(first);
			await rig.gateway.frame('generated', isGrant(grant));
			rig.gateway.keep = [bare(grant)];
			first.ws.terminate();
			const second = await back(rig, 2);
			check(lists(second.hello?.finished ?? [], grant), 'hello.finished does not list it');
			rig.gateway.uploadStatus = [200];
			await rig.gateway.upload(grant.ticket, 200);
		},
	},
	{
		name: 'gives a silent gateway up after three missed pongs',
		run: async (rig) => {
			const first = await rig.online();
			rig.gateway.alive = false;
			await until('the node lets go', () => (first.closed || rig.gateway.conversations.length > 1 ? true : undefined), 25_000);
			rig.gateway.alive = true;
			await rig.gateway.online(2);
		},
	},
	{ name: 'comes back after close 4400 (bad frame)', run: (rig) => comesBack(rig, 4400, FIRST_RECONNECT_MS) },
	{ name: 'comes back after close 4408 (silent, or no hello in time)', run: (rig) => comesBack(rig, 4408, FIRST_RECONNECT_MS) },
	{ name: 'comes back within 5 s after close 4503 (restart)', run: (rig) => comesBack(rig, 4503, FIRST_RECONNECT_MS) },
	{ name: 'comes back after close 1011 (server error)', run: (rig) => comesBack(rig, 1011, FIRST_RECONNECT_MS) },
	{
		name: 'renews its certificate after close 4401 (bad signature or certificate), and connects with the new one',
		run: async (rig) => {
			rig.gateway.closeInstead = [4401];
			await works(rig, await rig.online());
			check(rig.gateway.renewals === 1, `${rig.gateway.renewals} renewals`);
		},
	},
	{
		name: 'renews its certificate after HTTP 401',
		run: async (rig) => {
			rig.gateway.upgradeStatus = [401, 101];
			await works(rig, await rig.online());
			check(rig.gateway.renewals === 1, `${rig.gateway.renewals} renewals`);
		},
	},
	{
		name: 'stops for good when even the fresh certificate is refused',
		run: async (rig) => {
			rig.gateway.closeInstead = [4401, 4401, 4401];
			rig.start();
			await rig.exits();
			check(rig.exitCode !== 0, 'the process ends with code 0');
			check(rig.gateway.conversations.length === 2, `${rig.gateway.conversations.length} connections`);
		},
	},
	{ name: 'stops for good after close 4403 (banned)', run: (rig) => staysAway(rig, (talk) => talk.ws.close(4403, 'banned')) },
	{ name: 'stops for good after close 4409 (replaced)', run: (rig) => staysAway(rig, (talk) => talk.ws.close(4409, 'replaced')) },
	{ name: 'stops for good after close 4426 (outdated)', run: (rig) => staysAway(rig, (talk) => talk.ws.close(4426, 'outdated')) },
	{
		name: 'stops for good when its mode is terminated',
		run: (rig) => staysAway(rig, (talk) => order(talk, { t: 'mode', mode: 'terminated', reason: 'by the operator' })),
	},
	{
		name: 'stops for good when the gateway needs a newer protocol',
		run: async (rig) => {
			rig.gateway.welcome = { minVersion: 2 };
			await staysAway(rig, () => undefined);
		},
	},
	{
		name: 'does not start with a join token that is refused, and says so',
		run: async (rig) => {
			rig.start('jt_wrong');
			await rig.exits();
			check(rig.exitCode !== 0 && rig.output !== '', 'the process ends without a word');
			check(rig.gateway.conversations.length === 0, 'the node connects without a certificate');
		},
	},
	{
		name: 'finishes its task while draining and while paused',
		run: async (rig) => {
			const talk = await rig.online();
			for (const mode of ['draining', 'paused']) {
				order(talk, { t: 'mode', mode: 'active', reason: '' });
				const grant = await begun(rig, talk);
				order(talk, { t: 'mode', mode, reason: 'by the operator' });
				checkUpload(await rig.gateway.upload(grant.ticket, 200));
			}
		},
	},
	{
		name: 'says goodbye when it is asked to end, and names what it abandons',
		run: async (rig) => {
			const talk = await rig.online();
			const grant = rig.grant(talk, {}, { steps: 150 });
			await acked(rig, grant);
			rig.signal('SIGTERM');
			await rig.gateway.frame('bye');
			await rig.exits(60_000);
			const given = talk.frames.some(({ frame }) => frame.t === 'bye' && lists(frame.abandoned, grant));
			const made = rig.gateway.uploads.some((upload) => upload.ticket === grant.ticket);
			check(given || made, 'the task was neither handed back nor finished');
		},
	},
];
