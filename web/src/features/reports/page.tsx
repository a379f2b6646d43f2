import type { Report } from '@limner/sdk';
import { useInfiniteQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { ago } from '../../lib/format.ts';
import { perform, useBusy } from '../../lib/mutate.ts';
import { useMay, useMe } from '../../lib/scopes.ts';
import { client } from '../../lib/session.ts';
import { useWho } from '../../lib/names.ts';
import { reports as texts } from '../../strings/operator.ts';
import { p } from '../../strings/pool.ts';
import { Button } from '../../ui/button.tsx';
import { Modal } from '../../ui/dialog.tsx';
import { Select } from '../../ui/field.tsx';
import { ReasonedButton } from '../../ui/gate.tsx';
import { TextInput } from '../../ui/inputs.tsx';
import { Badge, Empty, Loaded, NoScope, type BadgeTone } from '../../ui/panel.tsx';
import { say } from '../../ui/toast.tsx';

const REPORTS = ['reports'];
const LOOK_MS = 10_000;
const TEXT_CHARS = 1000;
const TONES: Record<Report['state'], BadgeTone> = { open: 'warn', 'taken-down': 'bad', dismissed: 'good' };

/** Not shown until somebody asks: it was reported for a reason. */
const Picture = ({ report }: { report: Report }) => {
	const [shown, setShown] = useState(false);
	if (report.imageUrl === undefined) return <p className="w-40 text-sm text-muted">{texts.gone}</p>;
	return (
		<div className="flex w-40 flex-col gap-2">
			<div className="checkered aspect-square overflow-hidden rounded-xl border border-line">
				<img
					src={report.imageUrl}
					alt={texts.alt}
					loading="lazy"
					className={`size-full object-cover ${shown ? '' : 'scale-110 blur-xl'}`}
				/>
			</div>
			<Button aria-pressed={shown} onClick={() => setShown(!shown)}>
				{shown ? texts.hidden : texts.shown}
			</Button>
		</div>
	);
};

const takeDown = ({ imageId, workspaceId }: Report, reason: string, operator: boolean) =>
	client.reports.takeDown(imageId, { reason, ...(operator ? { workspaceId } : {}) });

/** Asks for a sentence, which a takedown needs and a report that is closed may have. */
const Decide = ({ report, verb, onClose }: { report: Report; verb: 'takeDown' | 'keep'; onClose: () => void }) => {
	const [text, setText] = useState('');
	const [busy, run] = useBusy();
	const operator = useMe()?.scopes.includes('operator') === true;
	const down = verb === 'takeDown';
	const go = async (): Promise<void> => {
		const done = await perform(
			() => (down ? takeDown(report, text.trim(), operator) : client.reports.dismiss(report.id, text.trim())),
			REPORTS,
			['images'],
			['alerts'],
		);
		if (!done) return;
		say(down ? texts.takenDown : texts.kept);
		onClose();
	};
	const why = down && text.trim() === '' ? texts.reasonNeeded : undefined;
	return (
		<Modal
			open
			onOpenChange={onClose}
			title={down ? texts.takeDownTitle : texts.keepTitle}
			lead={down ? texts.takeDownText : texts.reasons[report.reason]}
		>
			<form
				className="flex flex-col gap-4"
				onSubmit={(event) => {
					event.preventDefault();
					if (why === undefined) void run(go);
				}}
			>
				<TextInput label={down ? texts.takeDownReason : texts.note} maxLength={TEXT_CHARS} value={text} onChange={setText} />
				<div className="flex justify-end gap-2">
					<Button onClick={onClose}>{p.common.cancel}</Button>
					<ReasonedButton type="submit" kind={down ? 'danger' : 'primary'} why={why} disabled={busy}>
						{down ? texts.takeDown : texts.keep}
					</ReasonedButton>
				</div>
			</form>
		</Modal>
	);
};

/** Who said so, when and where; and who decided. */
const linesOf = (report: Report, who: (id: string) => string, elsewhere: boolean): string =>
	[
		`${texts.by} ${who(report.reportedBy)}, ${ago(report.createdAt)}`,
		...(elsewhere ? [`${texts.workspace} ${report.workspaceId}`] : []),
		...(report.decidedBy === undefined ? [] : [`${texts.decided} ${who(report.decidedBy)}`]),
	].join(' · ');

const ReportRow = ({ report }: { report: Report }) => {
	const [deciding, setDeciding] = useState<'takeDown' | 'keep'>();
	const me = useMe();
	const who = useWho();
	return (
		<li
			data-report={report.id}
			data-state={report.state}
			className="flex flex-wrap gap-4 rounded-2xl border border-line bg-panel p-4 shadow-card"
		>
			<Picture report={report} />
			<div className="flex min-w-48 flex-1 flex-col items-start gap-2">
				<p className="flex flex-wrap items-center gap-2 font-semibold">
					{texts.reasons[report.reason]} <Badge tone={TONES[report.state]}>{texts.states[report.state]}</Badge>
				</p>
				{report.detail === '' ? null : <p className="text-sm break-words">{report.detail}</p>}
				<p className="text-xs text-muted">{linesOf(report, who, me !== undefined && me.workspaceId !== report.workspaceId)}</p>
				{report.note === '' ? null : <p className="text-sm break-words text-muted">{report.note}</p>}
				{report.state === 'open' ? (
					<div className="mt-auto flex flex-wrap gap-2">
						<Button kind="danger" onClick={() => setDeciding('takeDown')}>
							{texts.takeDown}
						</Button>
						<Button onClick={() => setDeciding('keep')}>{texts.keep}</Button>
					</div>
				) : null}
			</div>
			{deciding === undefined ? null : <Decide report={report} verb={deciding} onClose={() => setDeciding(undefined)} />}
		</li>
	);
};

const Reports = () => {
	const [state, setState] = useState<Report['state'] | ''>('open');
	const query = useInfiniteQuery({
		queryKey: [...REPORTS, state],
		queryFn: ({ pageParam, signal }) =>
			client.reports.list({ ...(state === '' ? {} : { state }), ...(pageParam === undefined ? {} : { cursor: pageParam }) }, { signal }),
		initialPageParam: undefined as string | undefined,
		getNextPageParam: (last) => last.nextCursor ?? undefined,
		refetchInterval: LOOK_MS,
	});
	const list = query.data?.pages.flatMap(({ data }) => data) ?? [];
	return (
		<>
			<div className="flex flex-wrap items-end gap-3">
				<p className="min-w-48 flex-1 text-sm text-muted">{texts.lead}</p>
				<Select
					label={texts.state}
					value={state}
					options={[{ value: '', label: p.common.all }, ...Object.entries(texts.states).map(([value, label]) => ({ value, label }))]}
					onChange={(value) => setState(value as Report['state'] | '')}
				/>
			</div>
			<Loaded query={query}>
				{list.length === 0 ? <Empty>{state === 'open' || state === '' ? texts.empty : texts.emptyFilter}</Empty> : null}
				<ul className="flex flex-col gap-3">
					{list.map((report) => (
						<ReportRow key={report.id} report={report} />
					))}
				</ul>
				{query.hasNextPage ? <Button onClick={() => void query.fetchNextPage()}>{p.common.more}</Button> : null}
			</Loaded>
		</>
	);
};

/** Pictures that somebody reported, and what becomes of them. */
export const ReportsPage = () => (useMay('admin') ? <Reports /> : <NoScope scope="admin" />);
