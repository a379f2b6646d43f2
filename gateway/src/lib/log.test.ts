import { describe, expect, it } from 'vitest';
import { createLogger, describeError, redact } from './log.ts';
import { requestIdOf, traceIdOf } from './middleware.ts';

describe('createLogger', () => {
	it('writes one object a line, and its own ids win', () => {
		const lines: string[] = [];
		const log = createLogger('info', { traceId: 't', requestId: 'r' }, (line) => lines.push(line));
		log.info('hello\nworld', { traceId: 'forged', n: 1 });
		log.debug('dropped');
		expect(lines).toHaveLength(1);
		expect(lines[0]).not.toContain('\n');
		expect(JSON.parse(lines[0]!)).toMatchObject({ level: 'info', msg: 'hello\nworld', traceId: 't', requestId: 'r', n: 1 });
	});
	it('takes an unknown level for info, and says so once', () => {
		const lines: string[] = [];
		for (let i = 0; i < 2; i++) {
			const log = createLogger('loud', {}, (line) => lines.push(line));
			log.debug('a');
			log.info('b');
		}
		expect(lines).toHaveLength(3);
		expect(lines[0]).toMatch(/LOG_LEVEL is .*loud.* counts as info: write one of debug, info, warn, error, silent/);
	});
});

describe('redact', () => {
	it.each([
		['/api/v1/results/abc.def-_', '/api/v1/results/<ticket>'],
		['/api/v1/results/abc.def/url', '/api/v1/results/<ticket>/url'],
		['/api/v1/objects/abc.def', '/api/v1/objects/<ticket>'],
		['Bearer lk_acme_abcd1_0123456789abcdef0123456789abcdef', 'Bearer lk_acme_abcd1_<secret>'],
		['/events?ticket=aa.bb&x=1', '/events?ticket=<secret>&x=1'],
		['/api/v1/jobs', '/api/v1/jobs'],
		[`/api/v1/join-tokens/jt_01234567_${'a'.repeat(52)}`, '/api/v1/join-tokens/jt_01234567_<secret>'],
		['/api/v1/Results/abc.def', '/api/v1/Results/<ticket>'],
		[`/api/v1/jobs%2F${'e'.repeat(60)}.${'m'.repeat(43)}`, '/api/v1/jobs%<signed>'],
	])('%s', (text, expected) => {
		expect(redact(text)).toBe(expected);
	});
	it('covers errors too', () => {
		const shown = JSON.stringify(describeError(new Error('GET /api/v1/objects/secret.ticket failed')));
		expect(shown).not.toContain('secret.ticket');
	});
});

const make = (): string => 'made';

describe('ids', () => {
	it('keeps a harmless request id only', () => {
		expect(requestIdOf('abc-1.2:3_4', make)).toBe('abc-1.2:3_4');
		for (const bad of [undefined, '', 'a b', 'a\nb', 'x'.repeat(129), 'é']) expect(requestIdOf(bad, make)).toBe('made');
		expect(requestIdOf('x'.repeat(128), make)).toHaveLength(128);
	});
	it('reads traceparent as W3C says', () => {
		const id = '4bf92f3577b34da6a3ce929d0e0e4736';
		expect(traceIdOf(`00-${id}-00f067aa0ba902b7-01`, make)).toBe(id);
		const zero = '0'.repeat(32);
		for (const bad of [
			undefined,
			'',
			id,
			`00-${zero}-00f067aa0ba902b7-01`,
			`00-${id}-${'0'.repeat(16)}-01`,
			`ff-${id}-00f067aa0ba902b7-01`,
		]) {
			expect(traceIdOf(bad, make)).toBe('made');
		}
	});
});
