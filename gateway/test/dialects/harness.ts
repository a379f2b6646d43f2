/**
 * A node that makes a picture of every task at once, so that dialects can be called as their clients call them.
 */
import { createHash } from 'node:crypto';
import type { GatewayFrame, JobView } from '@limner/shared';
import { call, joinNode } from '../http/harness.ts';
import type { TestNode } from '../pool/harness.ts';
import { makePng } from '../storage/pictures.ts';

type Task = Extract<GatewayFrame, { t: 'task' }>;

export const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

export const upload = async (task: Task): Promise<void> => {
	const png = makePng({ width: task.spec.width, height: task.spec.height });
	const response = await call(`/api/v1/results/${task.ticket}`, {
		key: null,
		method: 'PUT',
		body: png,
		headers: {
			'content-type': 'image/png',
			'content-length': String(png.length),
			'x-content-sha256': createHash('sha256').update(png).digest('hex'),
		},
	});
	if (!response.ok) throw new Error(`the result was refused: ${await response.text()}`);
};

export interface Painter {
	node: TestNode;
	/** Tasks in the order in which they came. */
	tasks: Task[];
}

/** Acknowledges and finishes tasks until the test is over. `before` may send frames, or answer false to leave a task alone. */
export const paint = async (
	before: (task: Task, node: TestNode) => boolean | void | Promise<boolean | void> = () => {},
	models?: string[],
): Promise<Painter> => {
	const node = await joinNode(models === undefined ? {} : { models });
	// A name that is not known makes the gateway ask anew what there is: from now on it knows this node's models.
	await (await call('/v1/models/not-known')).arrayBuffer();
	const tasks: Task[] = [];
	const loop = async (): Promise<void> => {
		for (;;) {
			const task = await node.frame('task', 60_000);
			tasks.push(task);
			const { jobId, index, epoch, slotId } = task;
			node.send({ t: 'ack', jobId, index, epoch, slotId });
			if ((await before(task, node)) === false) continue;
			node.send({ t: 'generated', jobId, index, epoch, slotId, totalMs: 1 });
			await upload(task);
		}
	};
	// Ends with the socket: nothing comes any more, and the wait for it is given up with the test.
	loop().catch(() => undefined);
	return { node, tasks };
};

export const jobOf = async (id: string): Promise<JobView> => (await call(`/api/v1/jobs/${id}`)).json();

export const fail = (node: TestNode, { jobId, index, epoch, slotId }: Task, message: string): void =>
	node.send({ t: 'failed', jobId, index, epoch, slotId, class: 'invalid', message });
