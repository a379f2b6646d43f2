/**
 * The examples in docs/protocol.md are the golden frames. `npm run openapi` writes them anew; the test
 * compares.
 * @module
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const PAGE = fileURLToPath(new URL('../../docs/protocol.md', import.meta.url));
const GOLDEN = fileURLToPath(new URL('../../shared/golden/', import.meta.url));
const BLOCK = /<!-- golden: (\w+) -->\n\n```json\n([\s\S]*?)```/g;
const WIDTH = 110;

export const goldenNames = (): string[] => readdirSync(GOLDEN).map((name) => name.replace(/\.json$/, ''));
export const goldenFrame = (name: string): unknown => JSON.parse(readFileSync(`${GOLDEN}${name}.json`, 'utf8'));

/** One line where it fits, else one line for each member. */
const pretty = (value: unknown, indent = ''): string => {
	const flat = JSON.stringify(value).replaceAll(/"(?:[^"\\]|\\.)*"|[,:]/g, (part) => (part === ',' ? ', ' : part === ':' ? ': ' : part));
	if (indent.length + flat.length <= WIDTH || typeof value !== 'object' || value === null) return flat;
	const deeper = `${indent}  `;
	const members = Array.isArray(value)
		? value.map((item) => `${deeper}${pretty(item, deeper)}`)
		: Object.entries(value).map(([key, item]) => `${deeper}${JSON.stringify(key)}: ${pretty(item, deeper)}`);
	const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
	return `${open}\n${members.join(',\n')}\n${indent}${close}`;
};

/** Examples of the page: name of the golden frame, and the text that stands there. */
export const examples = (): { name: string; text: string }[] =>
	[...readFileSync(PAGE, 'utf8').matchAll(BLOCK)].map(([, name = '', text = '']) => ({ name, text }));

export const writeExamples = (): void => {
	const page = readFileSync(PAGE, 'utf8');
	writeFileSync(
		PAGE,
		page.replaceAll(BLOCK, (_block, name: string) => `<!-- golden: ${name} -->\n\n\`\`\`json\n${pretty(goldenFrame(name))}\n\`\`\``),
	);
};

if (process.argv[1] === fileURLToPath(import.meta.url)) writeExamples();
