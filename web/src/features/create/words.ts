/**
 * A job's progress in words.
 * @module
 */
import { duration } from '../../lib/format.ts';
import { t } from '../../strings.ts';
import type { Entry } from '../jobs/entry.ts';

const PHASES: Record<string, string> = {
	granted: t.job.granted,
	downloading: t.job.downloading,
	loading: t.job.loading,
	encoding: t.job.encoding,
	denoising: t.job.denoising,
	decoding: t.job.decoding,
	uploading: t.job.uploading,
};

const waiting = (entry: Entry): string => {
	const position = entry.progress?.position ?? entry.job?.queue?.position;
	const reason = entry.progress?.reason ?? (entry.job?.queue?.feasible === false ? entry.job.queue.reason : undefined);
	if (reason !== undefined && (position ?? 0) <= 1) return reason;
	if (position === undefined) return t.job.queued;
	return position <= 1 ? t.job.next : `${t.job.place} ${position}`;
};

/** One line: what happens, where, how far, how long still. */
export const statusLine = (entry: Entry): string => {
	if (entry.status === 'submitting') return t.job.submitting;
	if (entry.status === 'canceled') return t.job.canceled;
	if (entry.status === 'failed') return `${t.job.failed}: ${entry.error ?? ''}`;
	const { progress } = entry;
	const eta = progress?.etaMs === undefined ? [] : [`${duration(progress.etaMs)} ${t.job.left}`];
	if (entry.status === 'waiting') return [waiting(entry), ...eta].join(' · ');
	const phase = PHASES[progress?.phase ?? ''] ?? t.job.denoising;
	const step = progress?.step === undefined || progress.steps === undefined ? [] : [`${progress.step}/${progress.steps}`];
	const moved = (progress?.requeues ?? 0) > 0 ? [t.job.moved] : [];
	return [[phase, ...step].join(' '), ...moved, ...eta].join(' · ');
};
