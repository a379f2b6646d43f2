/**
 * Bugs that are planted one at a time into a copy of the sources. Each takes away something that the pool's correctness
 * rests on; the text to replace must be there exactly once, so that a bug cannot quietly stop being one.
 * @module
 */

export interface Bug {
	name: string;
	/** What is lost, in a sentence. */
	what: string;
	/** Path in the repository. */
	file: string;
	from: string;
	to: string;
	/** Tests in workerd that are to find it, where the simulator and the unit tests do not reach. */
	workerd?: string;
}

const POOL = 'gateway/src/pool';

export const BUGS: readonly Bug[] = [
	{
		name: 'epoch-check',
		what: 'a result of an older attempt is accepted',
		file: `${POOL}/nodes.ts`,
		from: "task.state === 'leased' && task.epoch === ref.epoch && task.nodeId === nodeId",
		to: "task.state === 'leased' && task.nodeId === nodeId",
	},
	{
		name: 'holder-check',
		what: 'a result of a node that does not hold the task is accepted',
		file: `${POOL}/nodes.ts`,
		from: 'task.epoch === ref.epoch && task.nodeId === nodeId',
		to: 'task.epoch === ref.epoch',
	},
	{
		name: 'epoch-plus-one',
		what: 'a grant keeps the epoch of the one before',
		file: `${POOL}/grants.ts`,
		from: '	task.epoch++;\n',
		to: '	task.epoch ||= 1;\n',
	},
	{
		name: 'create-only',
		what: 'an upload overwrites the object that is there',
		file: 'gateway/src/storage/put.ts',
		from: 'const options = { createOnly: true,',
		to: 'const options = { createOnly: false,',
		workerd: 'gateway/test/storage/create-only.test.ts',
	},
	{
		name: 'settle-idempotency',
		what: 'a settlement that comes again is applied again',
		file: 'gateway/src/workspace/jobs.ts',
		from: "	if (isTerminal('job', row.state)) return { outcome: 'already' };\n",
		to: '',
	},
	{
		name: 'settle-retry',
		what: 'a settlement that failed is never sent again',
		file: `${POOL}/ending.ts`,
		from: '	for (const id of jobIds) outbox.inFlight.delete(id);\n',
		to: '',
	},
	{
		name: 'settle-outbox-rebuild',
		what: 'finished jobs are not settled after a restart',
		file: `${POOL}/rows.ts`,
		from: '			queueSettlement(state, job, now);\n',
		to: '',
	},
	{
		name: 'not-after',
		what: 'a hand-over that comes late is taken',
		file: `${POOL}/jobs.ts`,
		from: 'if (now > notAfter)',
		to: 'if (now > notAfter + 1e12)',
	},
	{
		name: 'known-job',
		what: 'a hand-over that comes again starts the job again',
		file: `${POOL}/jobs.ts`,
		from: 'if (state.jobs.has(input.id) || state.settled.has(input.id)) return undefined;',
		to: '',
	},
	{
		name: 'cancel-tombstone',
		what: 'a cancel that comes before its job is forgotten',
		file: `${POOL}/jobs.ts`,
		from: "		state.jobs.set(jobId, tombstone);\n		endJob(ctx, tombstone, 'canceled', who);\n",
		to: '		void tombstone;\n',
	},
	{
		name: 'alarm-rearm-task',
		what: 'a deadline that has moved is not armed again',
		file: `${POOL}/due.ts`,
		from: '	if (at > ctx.now) armTask(ctx, job, task);\n	else if',
		to: '	if (at > ctx.now) return;\n	else if',
	},
	{
		name: 'alarm-rearm-node',
		what: 'nobody looks after a silent node again',
		file: `${POOL}/due.ts`,
		from: '	if (node.grants.size > 0) arm(ctx.state.timers, `n:${nodeId}`, lastSeen(ctx.state, node) + TIMING.suspectMs);\n',
		to: '',
	},
	{
		name: 'recheck',
		what: 'a task that was refused for a moment is not looked at again',
		file: `${POOL}/matching.ts`,
		from: "	park(state, group);\n	if (recheckAt !== undefined) arm(state.timers, 'recheck', recheckAt);\n",
		to: '	park(state, group);\n',
	},
	{
		name: 'parked-wake',
		what: 'work that was set aside is not looked at when a slot becomes free',
		file: `${POOL}/pens.ts`,
		from: '		for (const group of pen.parked) unpark(state, group);\n',
		to: '',
	},
	{
		name: 'parked-special',
		what: 'a task that failed on the only node left is not looked at when the others have gone',
		file: `${POOL}/pens.ts`,
		from: "	for (const decider of ['', id]) for (const group of state.lanes.special.get(decider) ?? []) unpark(state, group);\n",
		to: '',
	},
	{
		name: 'held-release',
		what: 'work that waits for the limit of its workspace waits for ever',
		file: `${POOL}/lanes.ts`,
		from: '		lane.held = false;\n		offer(state, lane);\n',
		to: '		void lane;\n',
	},
	{
		name: 'aside-return',
		what: 'slots of a node that was silent for a moment are never used again',
		file: `${POOL}/due.ts`,
		from: '	takeUp(ctx.state, node);\n',
		to: '',
	},
	{
		name: 'tag-refresh',
		what: 'the order of workspaces is the one of when their tasks came, not of what they have got since',
		file: `${POOL}/lanes.ts`,
		from: '		if (tagOf(state, lane.ws) <= lane.tag) return { group, lane, item: lane.head };\n',
		to: '		if (tagOf(state, lane.ws) !== Number.MIN_VALUE) return { group, lane, item: lane.head };\n',
	},
	{
		name: 'history-save',
		what: 'what a node has done is forgotten when the object sleeps',
		file: `${POOL}/workstats.ts`,
		from: '		writes.nodes.add(node);\n',
		to: '		void writes;\n',
	},
	{
		name: 'priority-place',
		what: 'a job with another priority keeps its place in the queue',
		file: `${POOL}/priority.ts`,
		from: '	for (const [task, readyAt] of out) enqueueTask(ctx.state, job, task, readyAt);\n',
		to: '	for (const [task] of out) task.queued = false;\n',
	},
	{
		name: 'fairness-tag',
		what: 'a grant costs its workspace nothing',
		file: `${POOL}/queue.ts`,
		from: '	state.fair.f.set(job.ws, job.ftag);\n',
		to: '',
	},
	{
		name: 'fairness-rebuild',
		what: 'virtual time starts from nothing after a restart',
		file: `${POOL}/queue.ts`,
		from: '		state.fair.v = Math.max(state.fair.v, job.ftag - fairShare(job));\n',
		to: '',
	},
	{
		name: 'loss-bound',
		what: 'a task that takes its nodes down is tried for ever',
		file: `${POOL}/grants.ts`,
		from: 'task.losses + 1 >= POOL_LIMITS.maxLosses',
		to: 'task.losses + 1 >= 1000',
	},
	{
		name: 'retry-bound',
		what: 'a task that fails is tried for ever',
		file: `${POOL}/grants.ts`,
		from: 'task.fails.length > POOL_LIMITS.maxRetries',
		to: 'task.fails.length > 1000',
	},
	{
		name: 'slot-release',
		what: 'a slot whose picture is uploading stays taken',
		file: `${POOL}/grants.ts`,
		from: '	releaseSlot(ctx, job, task, false);\n	run.generated = true;\n',
		to: '	run.generated = true;\n',
	},
	{
		name: 'double-booking',
		what: 'a task that comes back takes a slot that was given away',
		file: `${POOL}/nodes.ts`,
		from: 'if (slot === undefined || (slot.grant !== null && !isMate(ctx, slot, key, task))) return false;',
		to: 'if (slot === undefined) return false;',
	},
	{
		name: 'adopt-dequeue',
		what: 'a task that was taken back is still in the queue',
		file: `${POOL}/nodes.ts`,
		from: '	dequeueTask(ctx.state, job, task);\n	run.orphanAt = null;\n',
		to: '	run.orphanAt = null;\n',
	},
	{
		name: 'older-socket',
		what: 'the close of a replaced socket takes the tasks of the new one away',
		file: `${POOL}/nodes.ts`,
		from: '	if (node?.conn?.id === connId) loseConn(ctx, node, ctx.now + TIMING.graceClosedMs);',
		to: '	for (const each of node ? [node] : ctx.state.nodes.values()) loseConn(ctx, each, ctx.now + TIMING.graceClosedMs);',
	},
	{
		name: 'lost-write',
		what: 'an accepted picture is not written',
		file: `${POOL}/history.ts`,
		from: '	job.hist.push(full);\n	ctx.writes.jobs.add(job);\n',
		to: "	job.hist.push(full);\n	if (entry.type !== 'image') ctx.writes.jobs.add(job);\n",
	},
	{
		name: 'missing-picture',
		what: 'a job succeeds with a picture missing',
		file: `${POOL}/ending.ts`,
		from: 'if (jobIsOver(job) || job.tasks.some((task) => !isTerminal',
		to: 'if (jobIsOver(job) || job.tasks.every((task) => !isTerminal',
	},
	{
		name: 'dependents-rebuild',
		what: 'after a restart nobody finds the jobs that wait for one that ends',
		file: `${POOL}/rows.ts`,
		from: '		indexDependents(state, job);\n',
		to: '',
	},
	{
		name: 'dependency-end',
		what: 'the end of a job does not start those that wait for it',
		file: `${POOL}/ending.ts`,
		from: '	settleDependents(ctx, job);\n',
		to: '',
	},
	{
		name: 'dependency-all',
		what: 'a job starts when the first of those that it waits for has ended',
		file: `${POOL}/dependencies.ts`,
		from: "	if (job.deps.some((dep) => dep.state === 'open')) return;\n",
		to: '',
	},
	{
		name: 'batch-bound',
		what: 'a slot is given more pictures than it takes at a time',
		file: `${POOL}/matching.ts`,
		from: 'Math.min(maxBatch, NODE_LIMITS.batchMax)',
		to: 'Math.min(maxBatch + 1, NODE_LIMITS.batchMax)',
	},
	{
		name: 'lane-target',
		what: 'tasks that are meant for different nodes wait behind each other',
		file: `${POOL}/lanes.ts`,
		from: "|${need.target ?? ''}|${need.model}",
		to: '|${need.model}',
	},
	{
		name: 'source-wake',
		what: 'the source of models is back and nobody looks at what waited for it',
		file: `${POOL}/care.ts`,
		from: '	wakeAllSpecial(ctx.state);\n',
		to: '',
	},
	{
		name: 'move-wake',
		what: 'a model has moved and its removal at the old place is not looked at',
		file: `${POOL}/jobs.ts`,
		from: "	if (typeOf(job) === 'MIGRATION') wakeAllSpecial(ctx.state);\n",
		to: '',
	},
	{
		name: 'census-busy',
		what: 'a slot that was taken is still counted as free for those who ask',
		file: `${POOL}/free.ts`,
		from: '	touch(state, slot.node);\n	slot.grant ??= key;\n',
		to: '	slot.grant ??= key;\n',
	},
	{
		name: 'census-away',
		what: 'nodes that are away are counted with those that are there',
		file: `${POOL}/census.ts`,
		from: "${conn === null ? 'away' : 'here'}",
		to: "${conn === undefined ? 'away' : 'here'}",
	},
	{
		name: 'answer-shape',
		what: 'what was told of a need a moment ago is told again although something has become feasible or ceased to be',
		file: `${POOL}/explain.ts`,
		from: 'known.shape === shapeFor(state, job.ws) && ',
		to: '',
	},
	{
		name: 'parked-source',
		what: 'a move does not go on when the node it comes from says where its model is from',
		file: `${POOL}/pens.ts`,
		from: 'from === undefined ? [target] : [target, from]',
		to: '[target]',
	},
];
