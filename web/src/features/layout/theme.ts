import { createStored } from '../../lib/value.ts';

export type Theme = 'light' | 'dark' | 'system';

/** Kept under a name that public/theme.js reads before the first paint. */
export const theme = createStored<Theme>('limner.theme', 'system');

const dark = matchMedia('(prefers-color-scheme: dark)');
const apply = (): void => {
	const wanted = theme.get();
	document.documentElement.dataset['theme'] = wanted === 'system' ? (dark.matches ? 'dark' : 'light') : wanted;
};

/** Follows the choice and the system's setting. */
export const watchTheme = (): void => {
	theme.subscribe(apply);
	dark.addEventListener('change', apply);
	apply();
};
