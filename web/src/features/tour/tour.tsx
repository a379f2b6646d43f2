import { useNavigate } from '@tanstack/react-router';
import { Sparkles } from 'lucide-react';
import { useState } from 'react';
import { ableTo, modelOf } from '../../lib/models.ts';
import { useModels } from '../../lib/queries.ts';
import { useValue } from '../../lib/value.ts';
import { t } from '../../strings.ts';
import { Button } from '../../ui/button.tsx';
import { Modal } from '../../ui/dialog.tsx';
import { draft, effective, toRequest } from '../create/draft.ts';
import { submit } from '../jobs/store.ts';
import { toured } from './state.ts';

/** Something that every model of this field can draw. */
const PROMPT = 'a lighthouse on a cliff at sunset';

const STEPS = t.tour.steps;

const end = (): void => toured.set(true);

/** A few words about the pages, and one click to a first picture. Escape, the cross and “Skip” end it for good. */
export const Tour = () => {
	const [at, setAt] = useState(0);
	const { data: models = [] } = useModels();
	const wanted = useValue(draft);
	const navigate = useNavigate();
	const model = modelOf(ableTo(models, 'txt2img'), wanted.model);
	const step = STEPS[at];
	const makeFirst = (): void => {
		if (model === undefined) return;
		draft.set({ ...wanted, prompt: PROMPT });
		void submit(toRequest(draft.get(), model, Math.random), effective(draft.get(), model));
		end();
		void navigate({ to: '/' });
	};
	return step === undefined ? null : (
		<Modal open onOpenChange={(open) => (open ? undefined : end())} title={step.title} lead={step.text}>
			{model === undefined && at === 0 ? <p className="mb-4 text-sm text-warn">{t.tour.noModel}</p> : null}
			<div className="flex flex-wrap items-center gap-2">
				<span className="mr-auto text-sm text-muted tabular-nums" aria-live="polite">
					{at + 1} {t.tour.of} {STEPS.length}
				</span>
				<Button kind="quiet" onClick={end}>
					{t.tour.skip}
				</Button>
				{at > 0 ? <Button onClick={() => setAt(at - 1)}>{t.tour.back}</Button> : null}
				<Button onClick={() => (at + 1 < STEPS.length ? setAt(at + 1) : end())}>{at + 1 < STEPS.length ? t.tour.next : t.tour.done}</Button>
				<Button kind="primary" icon={<Sparkles size={16} />} disabled={model === undefined} onClick={makeFirst}>
					{t.tour.first}
				</Button>
			</div>
		</Modal>
	);
};
