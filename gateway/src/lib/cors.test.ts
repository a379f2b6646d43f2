import { describe, expect, it } from 'vitest';
import { isAllowedOrigin } from './cors.ts';

const own = 'https://limner.example';
const strict = { origins: 'https://studio.example  http://localhost:3000/,https://other.example:8443', loopback: false, own };

describe('isAllowedOrigin', () => {
	it.each(['https://limner.example', 'https://studio.example', 'http://localhost:3000', 'https://other.example:8443'])(
		'allows %s',
		(origin) => {
			expect(isAllowedOrigin(origin, strict)).toBe(true);
		},
	);
	it.each([
		'null',
		'https://studio.example.evil.example',
		'https://evil.example',
		'http://studio.example',
		'https://other.example',
		'http://127.0.0.1:1',
		'',
	])('refuses %j', (origin) => {
		expect(isAllowedOrigin(origin, strict)).toBe(false);
	});
	it('allows this machine where it is said so, and nothing that only looks like it', () => {
		const local = { origins: '', loopback: true, own };
		for (const origin of ['http://localhost', 'http://localhost:5173', 'https://127.0.0.1:8443', 'http://127.9.9.9', 'http://[::1]:80']) {
			expect(isAllowedOrigin(origin, local)).toBe(true);
		}
		for (const origin of [
			'http://localhost.evil.example',
			'http://127.0.0.1.evil.example',
			'http://10.0.0.1',
			'file://localhost',
			'http://localhost:99999999',
		]) {
			expect(isAllowedOrigin(origin, local)).toBe(false);
		}
		expect(isAllowedOrigin('https://any.example', { ...local, origins: '*' })).toBe(true);
	});
});
