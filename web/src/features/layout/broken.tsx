import type { ErrorComponentProps } from '@tanstack/react-router';
import { t } from '../../strings.ts';
import { Button } from '../../ui/button.tsx';

/** In the place of a page that threw, so that navigation and the other pages stay: also when a new version took its files away. */
export const Broken = ({ error }: ErrorComponentProps) => (
	<div role="alert" className="m-6 flex flex-col items-start gap-3 rounded-2xl border border-bad bg-panel p-6">
		<p className="font-display text-xl">{t.broken.title}</p>
		<p className="text-sm break-words text-muted">{error instanceof Error ? error.message : String(error)}</p>
		<Button kind="primary" onClick={() => location.reload()}>
			{t.broken.again}
		</Button>
	</div>
);
