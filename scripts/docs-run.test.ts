import { expect, it } from 'vitest';
import { runnableBlocks } from './docs-run.ts';

it('finds sh blocks only, with their line and mark', () => {
	const markdown = [
		'# x',
		'```sh',
		'echo 1',
		'```',
		'```json',
		'{}',
		'```',
		'text',
		'```sh background',
		'npm start',
		'```',
		'```text',
		'```',
	].join('\n');
	expect(runnableBlocks('a.md', markdown)).toEqual([
		{ file: 'a.md', line: 2, background: false, code: 'echo 1\n' },
		{ file: 'a.md', line: 9, background: true, code: 'npm start\n' },
	]);
});
