import { useId } from 'react';
import { useWhyNot } from '../lib/scopes.ts';
import { Button, type ButtonProps } from './button.tsx';
import { Tip } from './tip.tsx';

/** A button that is off for a reason, which it tells on hover and focus, and to screen readers. */
export const ReasonedButton = ({ why, ...button }: ButtonProps & { why: string | undefined }) => {
	const id = useId();
	if (why === undefined) return <Button {...button} />;
	return (
		<>
			<Tip text={why}>
				{/* Not `disabled`: a button that cannot be focused could not say why. */}
				<Button {...button} type="button" aria-disabled aria-describedby={id} onClick={(event) => event.preventDefault()} />
			</Tip>
			<span id={id} hidden>
				{why}
			</span>
		</>
	);
};

/** A button that needs a scope. */
export const GatedButton = ({ scope, why, ...button }: ButtonProps & { scope: string; why?: string | undefined }) => {
	const missing = useWhyNot(scope);
	return <ReasonedButton {...button} why={missing ?? why} />;
};
