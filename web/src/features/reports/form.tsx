import type { Report } from '@limner/sdk';
import { useState } from 'react';
import { perform, useBusy } from '../../lib/mutate.ts';
import { client } from '../../lib/session.ts';
import { reports as texts } from '../../strings/operator.ts';
import { p } from '../../strings/pool.ts';
import { Button } from '../../ui/button.tsx';
import { Modal } from '../../ui/dialog.tsx';
import { Select } from '../../ui/field.tsx';
import { TextInput } from '../../ui/inputs.tsx';
import { say } from '../../ui/toast.tsx';

const TEXT_CHARS = 1000;

/** Says that a picture should not be there. */
export const ReportDialog = ({ imageId, onClose }: { imageId: string; onClose: () => void }) => {
	const [reason, setReason] = useState<Report['reason']>('person');
	const [detail, setDetail] = useState('');
	const [busy, run] = useBusy();
	const send = async (): Promise<void> => {
		if (!(await perform(() => client.reports.report(imageId, { reason, detail: detail.trim() }), ['reports']))) return;
		say(texts.sent);
		onClose();
	};
	return (
		<Modal open onOpenChange={onClose} title={texts.reportTitle} lead={texts.reportLead}>
			<form
				className="flex flex-col gap-4"
				onSubmit={(event) => {
					event.preventDefault();
					void run(send);
				}}
			>
				<Select
					label={texts.reason}
					value={reason}
					options={Object.entries(texts.reasons).map(([value, label]) => ({ value, label }))}
					onChange={(value) => setReason(value as Report['reason'])}
				/>
				<TextInput label={texts.detail} maxLength={TEXT_CHARS} value={detail} onChange={setDetail} />
				<div className="flex justify-end gap-2">
					<Button onClick={onClose}>{p.common.cancel}</Button>
					<Button type="submit" kind="primary" disabled={busy}>
						{texts.send}
					</Button>
				</div>
			</form>
		</Modal>
	);
};
