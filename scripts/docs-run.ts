/**
 * Runs the commands that README.md and docs/ show, so that they stay true. Every ```sh block is run by bash in the
 * root of the clone, the blocks of a file in order and in one shell each; a block marked ```sh background is started
 * and left running until the end of its file; one marked ```sh separately is a step of .ci/run of its own. Other languages
 * (```text, ```json …) are not run.
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const GATEWAY_URL = 'http://127.0.0.1:8787';
const BLOCK_MS = 180_000;
const UP_MS = 60_000;

export interface Block {
	file: string;
	line: number;
	background: boolean;
	code: string;
}

/** The runnable blocks of one Markdown file. */
export const runnableBlocks = (file: string, markdown: string): Block[] => {
	const blocks: Block[] = [];
	const lines = markdown.split('\n');
	let open: Block | undefined;
	for (const [index, line] of lines.entries()) {
		const fence = /^```(.*)$/.exec(line);
		if (open !== undefined && fence !== null) {
			blocks.push(open);
			open = undefined;
		} else if (open !== undefined) open.code += `${line}\n`;
		else if (fence !== null) {
			const [language, ...marks] = (fence[1] ?? '').trim().split(/\s+/);
			if (language === 'sh' && !marks.includes('separately'))
				open = { file, line: index + 1, background: marks.includes('background'), code: '' };
			else if (language !== '') skipTo(lines, index);
		}
	}
	return blocks;
};

/** Blanks a block that is not run, so that its closing fence does not look like an opening one. */
const skipTo = (lines: string[], from: number): void => {
	for (let index = from + 1; index < lines.length; index++) {
		const closing = lines[index] === '```';
		lines[index] = '';
		if (closing) return;
	}
};

const killGroup = (child: ChildProcess, signal: NodeJS.Signals): void => {
	try {
		process.kill(-(child.pid ?? 0), signal);
	} catch {
		// Already gone.
	}
};

const start = (block: Block): ChildProcess =>
	spawn('bash', ['-euo', 'pipefail', '-c', block.code], {
		cwd: ROOT,
		detached: true,
		stdio: ['ignore', 'inherit', 'inherit'],
		env: { ...process.env, INIT_CWD: ROOT },
	});

const ended = (child: ChildProcess, limitMs: number): Promise<number> =>
	new Promise((resolve) => {
		if (child.exitCode !== null) return resolve(child.exitCode);
		const timer = setTimeout(() => {
			killGroup(child, 'SIGKILL');
			resolve(124);
		}, limitMs);
		child.once('exit', (code) => {
			clearTimeout(timer);
			resolve(code ?? 1);
		});
	});

const gatewayUp = async (child: ChildProcess): Promise<boolean> => {
	const until = Date.now() + UP_MS;
	while (Date.now() < until && child.exitCode === null) {
		const up = await fetch(`${GATEWAY_URL}/ready`).then(
			(response) => response.ok,
			() => false,
		);
		if (up) return true;
		await new Promise((resolve) => setTimeout(resolve, 250));
	}
	return false;
};

const runBlock = async (block: Block, background: ChildProcess[]): Promise<boolean> => {
	console.log(`▸ ${relative(ROOT, block.file)}:${block.line}${block.background ? ' (left running)' : ''}`);
	const child = start(block);
	if (!block.background) return (await ended(child, BLOCK_MS)) === 0;
	background.push(child);
	return gatewayUp(child);
};

const runFile = async (blocks: Block[]): Promise<Block[]> => {
	const background: ChildProcess[] = [];
	const failed: Block[] = [];
	try {
		for (const block of blocks) {
			if (!(await runBlock(block, background))) failed.push(block);
		}
	} finally {
		for (const child of background) killGroup(child, 'SIGINT');
		await Promise.all(background.map((child) => ended(child, UP_MS)));
	}
	return failed;
};

const main = async (): Promise<void> => {
	const docs = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
		.filter((name) => name.endsWith('.md'))
		.toSorted()
		.map((name) => join(ROOT, 'docs', name));
	let count = 0;
	const failed: Block[] = [];
	for (const file of [join(ROOT, 'README.md'), ...docs]) {
		const blocks = runnableBlocks(file, readFileSync(file, 'utf8'));
		count += blocks.length;
		failed.push(...(await runFile(blocks)));
	}
	for (const block of failed) console.error(`limner: the commands at ${relative(ROOT, block.file)}:${block.line} failed:\n${block.code}`);
	console.log(`${count - failed.length} of ${count} command blocks ran`);
	process.exit(failed.length === 0 && count > 0 ? 0 : 1);
};

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
