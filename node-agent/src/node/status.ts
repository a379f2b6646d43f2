/**
 * What the node says about itself in one line. Pure.
 * @module
 */

export interface RunningView {
	slotId: string;
	jobId: string;
	phase: string;
	step: number;
	steps: number;
	itPerS?: number;
}

export interface NodeStatus {
	name: string;
	gateway: string;
	link: 'connecting' | 'online' | 'offline' | 'stopped';
	/** Why the link is down. */
	problem: string;
	mode: 'active' | 'draining' | 'paused' | 'terminated';
	modeReason: string;
	/** Outside its hours: that it rests, and until when. */
	rest: string;
	/** The gateway's words on why there is no work. */
	reason: string;
	slots: number;
	running: RunningView[];
	/** Finished pictures that wait for their upload. */
	uploads: number;
	/** Why uploads do not get through. */
	uploadProblem: string;
	/** Something that the owner of the machine must mend, like a full disk. */
	trouble: string;
	done: number;
	failed: number;
	stopping: boolean;
}

const shortId = (jobId: string): string => `…${jobId.slice(-6)}`;

const runningText = (run: RunningView): string => {
	const place = run.steps > 0 && run.phase === 'denoising' ? `${run.step}/${run.steps}` : run.phase;
	const rate = run.itPerS === undefined || run.phase !== 'denoising' ? '' : ` ${run.itPerS.toFixed(1)} it/s`;
	return `${shortId(run.jobId)} ${place}${rate}`;
};

const linkText = (status: NodeStatus): string => {
	if (status.stopping) return 'stopping';
	if (status.rest !== '') return status.rest;
	if (status.link === 'online') return status.mode === 'active' ? 'online' : status.mode;
	return status.link === 'connecting' ? 'connecting' : `offline: ${status.problem}`;
};

const whyIdle = (status: NodeStatus): string => {
	if (status.link !== 'online' || status.stopping || status.rest !== '') return '';
	if (status.mode !== 'active') return status.modeReason === '' ? `no work: the node is ${status.mode}` : status.modeReason;
	return status.reason === '' ? 'waiting for work' : status.reason;
};

/** The status line, without cursor movement. */
export const renderStatus = (status: NodeStatus): string => {
	const parts = [status.name, linkText(status)];
	if (status.running.length > 0) parts.push(`${status.running.length}/${status.slots} busy: ${status.running.map(runningText).join(', ')}`);
	else if (whyIdle(status) !== '') parts.push(whyIdle(status));
	if (status.uploads > 0) {
		const problem = status.uploadProblem === '' ? '' : ` (${status.uploadProblem})`;
		parts.push(`${status.uploads} waiting for upload${problem}`);
	}
	if (status.trouble !== '') parts.push(status.trouble);
	parts.push(`${status.done} done${status.failed > 0 ? `, ${status.failed} failed` : ''}`);
	return parts.join(' · ');
};

/** What a plain log prints: the line without what changes at every step. */
export const statusKey = (status: NodeStatus): string =>
	JSON.stringify([
		linkText(status),
		status.running.map((run) => run.jobId),
		status.running.length === 0 ? whyIdle(status) : '',
		status.uploadProblem,
		status.trouble,
	]);
