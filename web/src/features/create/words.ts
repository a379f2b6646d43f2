/**
 * A job's progress in words.
 * @module
 */
import { duration } from '../../lib/format.ts';
import { t } from '../../strings.ts';
import type { Entry } from '../jobs/entry.ts';

/** What a slot does, by the name that the protocol has for it. */
export const phaseWords = (phase: string | undefined): string => PHASES[phase ?? ''] ?? t.job.denoising;

const PHASES: Record<string, string> = {
	granted: t.job.granted,
	downloading: t.job.downloading,
	loading: t.job.loading,
	encoding: t.job.encoding,
	denoising: t.job.denoising,
	decoding: t.job.decoding,
	uploading: t.job.uploading,
};

const reasonOf = ({ progress, job }: Entry): string | undefined =>
	progress?.reason ?? (job?.queue?.feasible === false ? job.queue.reason : undefined);

const waiting = (entry: Entry): string => {
	const position = entry.progress?.position ?? entry.job?.queue?.position ?? 0;
	const reason = reasonOf(entry);
	if (position > 1) return `${t.job.place} ${position}`;
	return reason ?? (position === 1 ? t.job.next : t.job.queued);
};

const working = ({ progress }: Entry): string => {
	const { phase = '', step, steps, requeues = 0 } = progress ?? {};
	const far = step === undefined || steps === undefined ? '' : ` ${step}/${steps}`;
	return `${phaseWords(phase)}${far}${requeues > 0 ? ` · ${t.job.moved}` : ''}`;
};

/** One line: what happens, how far, on which machine, how long still. */
export const statusLine = (entry: Entry, node?: string): string => {
	if (entry.status === 'submitting') return t.job.submitting;
	if (entry.status === 'canceled') return t.job.canceled;
	if (entry.status === 'failed') return `${t.job.failed}: ${entry.error ?? ''}`;
	const eta = entry.progress?.etaMs;
	const where = entry.status === 'running' && node !== undefined ? ` · ${t.job.on} ${node}` : '';
	return `${entry.status === 'waiting' ? waiting(entry) : working(entry)}${where}${eta === undefined ? '' : ` · ${duration(eta)} ${t.job.left}`}`;
};
