import { Tooltip } from 'radix-ui';
import type { ReactElement } from 'react';

/** A short explanation on hover and focus. */
export const Tip = ({ text, children }: { text: string; children: ReactElement }) => (
	<Tooltip.Root delayDuration={400}>
		<Tooltip.Trigger asChild>{children}</Tooltip.Trigger>
		<Tooltip.Portal>
			<Tooltip.Content
				sideOffset={6}
				collisionPadding={8}
				className="z-50 max-w-64 rounded-lg border border-line bg-raised px-2.5 py-1.5 text-sm text-text shadow-card"
			>
				{text}
			</Tooltip.Content>
		</Tooltip.Portal>
	</Tooltip.Root>
);
