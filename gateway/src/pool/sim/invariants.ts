/**
 * What must hold after every single step, whatever happened before.
 * @module
 */
import { isChore, isTerminal, makesReport } from '@limner/shared';
import { taskDueAt } from '../grants.ts';
import { isListed } from '../pens.ts';
import {
	slotNamed,
	taskKey,
	typeOf,
	type Job,
	type PoolNode,
	type PoolState,
	type Slot,
	type StepResult,
	type Task,
	type TaskRun,
} from '../model.ts';
import { checkCensus } from './census-invariants.ts';
import { checkLanes, checkQueues, must } from './queue-invariants.ts';
import { packJob, type JobRowData } from '../pack.ts';

const checkIdle = (task: Task, key: string, slot: Slot | undefined, waits: boolean): void => {
	must(task.run === null, () => `${key} is ${task.state} and still has a run`);
	must(task.queued === (task.state === 'queued' && !waits), () => `${key} is ${task.state}, queued=${task.queued}`);
	must(slot?.batch.has(key) !== true, () => `${key} is ${task.state} and holds a slot`);
};

const checkLeased = (task: Task, run: TaskRun, key: string, node: PoolNode | undefined, slot: Slot | undefined): void => {
	const reachable = run.orphanAt === null;
	const active = reachable && !run.generated;
	must(node !== undefined && node.grants.has(key), () => `${key} is leased and its holder does not know`);
	must(active === (slot?.batch.has(key) === true), () => `${key} active=${active}, slot holds ${[...(slot?.batch ?? [])].join(' ')}`);
	must(!reachable || !task.queued, () => `${key} runs and waits at once`);
	must(!reachable || (node !== undefined && node.conn !== null), () => `${key} runs on a node that is not there`);
};

const checkBooking = (state: PoolState, job: Job, task: Task): void => {
	const key = taskKey(job.id, task.index);
	const node = state.nodes.get(task.nodeId ?? '');
	const slot = node === undefined ? undefined : slotNamed(node, task.slotId ?? '');
	if (task.state !== 'leased') checkIdle(task, key, slot, job.state === 'waiting');
	else if (task.run === null) must(false, () => `${key} is leased without a run`);
	else checkLeased(task, task.run, key, node, slot);
};

const checkTimers = (state: PoolState, wakeAt: number): void => {
	for (const job of state.jobs.values()) {
		if (isTerminal('job', job.state)) {
			must(state.outbox.get(job.ws)?.ids.has(job.id) === true, () => `${job.id} is over and in no outbox`);
			must(Number.isFinite(wakeAt), () => `${job.id} waits for its settlement without an alarm`);
			must(state.timers.armed.has(`o:${job.ws}`), () => `${job.id} waits for its settlement without a timer`);
			continue;
		}
		must(wakeAt <= job.spec.deadlineAt, () => `${job.id} has a deadline before the alarm`);
		for (const task of job.tasks) {
			const due = taskDueAt(task) ?? wakeAt;
			must(wakeAt <= due, () => `${job.id}/${task.index} is due at ${due}, alarm at ${wakeAt}`);
		}
	}
	for (const node of state.nodes.values())
		must(node.conn === null || node.grants.size === 0 || state.timers.armed.has(`n:${node.id}`), () => `nobody looks after ${node.id}`);
	must(state.settled.size === 0 || Number.isFinite(wakeAt), () => 'settled rows wait for their deletion without an alarm');
};

const checkJob = (job: Job): void => {
	const over = isTerminal('job', job.state);
	const ended = job.tasks.every((task) => isTerminal('task', task.state));
	must(over === ended, () => `${job.id} is ${job.state}, its tasks ended=${ended}`);
	const report = makesReport(typeOf(job));
	const resultOf = (task: Task): unknown => (report ? task.report : task.image);
	const missing = job.tasks.some((task) => resultOf(task) === null);
	must(job.state !== 'succeeded' || !missing, () => `${job.id} succeeded with a picture missing`);
	for (const task of job.tasks) {
		must((resultOf(task) !== null) === (task.state === 'succeeded'), () => `${job.id} has a picture too many or too few`);
		must(task.fails.length <= 4 && task.losses <= 3, () => `${job.id} was tried too often`);
	}
	must(!job.hist.some((entry, index) => entry.rev !== index + 1), () => `${job.id} has a gap in its history`);
};

/** A job that waits knows why, and whoever ends the wait can find it. */
const checkWaiting = (state: PoolState): void => {
	for (const job of state.jobs.values()) {
		if (job.state !== 'waiting') continue;
		const open = job.deps.filter((dep) => dep.state === 'open');
		must(open.length > 0, () => `${job.id} waits for nothing`);
		for (const { id } of open) {
			const dep = state.jobs.get(id);
			must(dep === undefined || !isTerminal('job', dep.state), () => `${job.id} waits for ${id}, which has ended`);
			must(state.dependents.get(id)?.has(job.id) === true, () => `${job.id} waits for ${id} and is not listed there`);
		}
	}
};

/** A slot works on what it was given together, and on nothing else. */
const checkBatches = (state: PoolState): void => {
	for (const node of state.nodes.values()) {
		for (const slot of node.slots.values()) {
			must(
				(slot.grant === null) === (slot.batch.size === 0),
				() => `slot ${slot.info.id} holds ${slot.grant} and ${slot.batch.size} tasks`,
			);
			must(slot.grant === null || slot.batch.has(slot.grant), () => `slot ${slot.info.id} holds a task that is not in its batch`);
			must(slot.batch.size <= slot.info.maxBatch, () => `slot ${slot.info.id} has ${slot.batch.size} tasks`);
		}
		const { service } = node;
		if (service === null) continue;
		const free = node.conn !== null && node.mode === 'active' && service.grant === null;
		must(free === state.service.has(service), () => `the service of ${node.id} free=${free}`);
	}
};

const checkListed = (state: PoolState, slot: Slot, free: boolean): void => {
	const { node } = slot;
	const idle = slot === node.service ? !node.taskTypes.some(isChore) : !node.models.some(({ operations }) => operations.length > 0);
	must(idle || (free && !state.aside.has(slot)) === isListed(state, slot), () => `slot ${node.id}/${slot.info.id} is free=${free}`);
	must(
		!state.aside.has(slot) || (free && state.timers.armed.has(`a:${node.id}`)),
		() => `${node.id}/${slot.info.id} is set aside for ever`,
	);
};

const checkSlots = (state: PoolState): void => {
	const { shared, own } = state.owners;
	const listed = [...own.values()].reduce((sum, nodes) => sum + nodes.size, shared.size);
	must(listed === state.nodes.size, () => `${listed} nodes have an owner, ${state.nodes.size} are known`);
	for (const node of state.nodes.values()) {
		must((node.trust === 'shared' ? shared : own.get(node.ws))?.has(node) === true, () => `${node.id} stands with the wrong owner`);
		for (const slot of node.slots.values()) {
			const free = node.conn !== null && node.mode === 'active' && slot.grant === null;
			checkListed(state, slot, free);
			must(free === state.free.has(slot), () => `slot ${node.id}/${slot.info.id} free=${free}`);
		}
		if (node.service !== null) checkListed(state, node.service, state.service.has(node.service));
	}
};

/** What a single step may break in a world that is too large to look at as a whole. */
export const checkTouched = (state: PoolState, result: StepResult): void => {
	for (const job of result.writes.jobs) {
		checkJob(job);
		for (const task of job.tasks) checkBooking(state, job, task);
	}
	const wakeAt = result.wakeAt ?? Number.POSITIVE_INFINITY;
	must(state.backlog === 0 || Number.isFinite(wakeAt), () => 'tasks wait without an alarm');
};

/** Everything that can be seen in memory, in the rows and in the effects of one step. Comparing rows is the slow part. */
export const checkInvariants = (
	state: PoolState,
	rows: ReadonlyMap<string, JobRowData>,
	result: StepResult,
	now: number,
	compareRows: boolean,
): void => {
	for (const job of state.jobs.values()) {
		checkJob(job);
		for (const task of job.tasks) checkBooking(state, job, task);
		// What is durable never differs from memory: a crash at this moment would lose nothing.
		must(!compareRows || JSON.stringify(rows.get(job.id)) === JSON.stringify(packJob(job)), () => `${job.id} differs from its row`);
	}
	for (const id of rows.keys()) must(state.jobs.has(id) || state.settled.has(id), () => `row ${id} belongs to nobody`);
	checkQueues(state);
	checkLanes(state);
	checkCensus(state, now);
	checkWaiting(state);
	checkBatches(state);
	checkSlots(state);
	checkTimers(state, result.wakeAt ?? Number.POSITIVE_INFINITY);
};
