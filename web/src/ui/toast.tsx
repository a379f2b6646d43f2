import { useEffect } from 'react';
import { createValue, useValue } from '../lib/value.ts';

const SHOWN_MS = 6_000;

interface Message {
	id: number;
	text: string;
	bad: boolean;
}

const messages = createValue<readonly Message[]>([]);
let ids = 0;

/** Says something for a few seconds; read out by screen readers. */
export const say = (text: string, bad = false): void => messages.set([...messages.get().slice(-2), { id: ++ids, text, bad }]);

/** Says what went wrong. For rejected promises of things that a person asked for. */
export const sayError = (error: unknown): void => say(error instanceof Error ? error.message : String(error), true);

const Toast = ({ message }: { message: Message }) => {
	useEffect(() => {
		const timer = setTimeout(() => messages.set(messages.get().filter(({ id }) => id !== message.id)), SHOWN_MS);
		return () => clearTimeout(timer);
	}, [message.id]);
	return (
		<div
			className={`rounded-xl border bg-raised px-4 py-2.5 text-sm shadow-card ${message.bad ? 'border-bad text-bad' : 'border-line text-text'}`}
		>
			{message.text}
		</div>
	);
};

export const Toasts = () => (
	<div
		role="status"
		aria-live="polite"
		className="pointer-events-none fixed inset-x-0 bottom-20 z-50 flex flex-col items-center gap-2 px-4 sm:bottom-6"
	>
		{useValue(messages).map((message) => (
			<Toast key={message.id} message={message} />
		))}
	</div>
);
