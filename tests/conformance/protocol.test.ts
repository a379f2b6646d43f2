import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { CLOSE, NODE_LIMITS, SUBPROTOCOL, TIMING, helloMessage } from '@limner/shared';
import { CASES } from './cases.ts';
import { examples, goldenFrame, goldenNames } from './docs.ts';

const page = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8');

it('has an example of every frame, and no other', () => {
	expect(
		examples()
			.map(({ name }) => name)
			.toSorted(),
		'docs/protocol.md needs a section for each file in shared/golden',
	).toEqual(goldenNames().toSorted());
});

it.each(examples())('example of $name is the golden frame (npm run openapi writes it)', ({ name, text }) => {
	expect(JSON.parse(text)).toEqual(goldenFrame(name));
});

it('names every close code, and the bytes that are signed', () => {
	const codes = Object.values(CLOSE).filter((code) => code !== CLOSE.normal);
	for (const code of codes) expect(page, String(code)).toContain(`| ${code} |`);
	expect(page).toContain(helloMessage('<nonce>', '<nodeId>', '<connId>'));
	expect(page).toContain(`sec-websocket-protocol: ${SUBPROTOCOL}`);
});

it('tells the limits that hold', () => {
	expect(page).toContain(`every ${TIMING.pingMs / 1000} s`);
	expect(page).toContain(`\`ack\` within ${TIMING.ackMs / 1000} s`);
	expect(page).toContain(`up after ${TIMING.suspectMs / 1000} s of silence`);
	expect(page).toContain(`Frames have at most ${NODE_LIMITS.frameBytes / 1024} KiB, previews ${NODE_LIMITS.previewBytes / 1024} KiB`);
	expect(page).toContain(`Answer within ${TIMING.helloMs / 1000} s`);
	expect(page).toContain(`plays ${CASES.length} conversations`);
});

it('shares no code with the node in Python', () => {
	const source = readFileSync(new URL('./node.py', import.meta.url), 'utf8');
	const imports = [...source.matchAll(/^(?:import|from) (.+)$/gm)].map(([, names]) => names);
	expect(imports.join(' ')).not.toMatch(/limner|subprocess/);
	expect(source).not.toMatch(/node-agent|gateway\/src|shared\//);
});
