import { describe, expect, it } from 'vitest';
import { isPublicAddress, urlProblem } from './address.ts';

describe('isPublicAddress', () => {
	it.each([
		'8.8.8.8',
		'1.1.1.1',
		'172.32.0.1',
		'100.128.0.1',
		'2606:4700::1111',
		'2a00:1450:4001:81b::200e',
		'::ffff:8.8.8.8',
		'64:ff9b::808:808',
	])('%s is public', (ip) => expect(isPublicAddress(ip)).toBe(true));
	it.each([
		'127.0.0.1',
		'10.0.0.1',
		'172.16.0.1',
		'172.31.255.255',
		'192.168.1.1',
		'169.254.169.254',
		'100.64.0.1',
		'0.0.0.0',
		'255.255.255.255',
		'224.0.0.1',
		'198.18.0.1',
		'::1',
		'::',
		'fe80::1',
		'fe80::1%eth0',
		'fc00::1',
		'fd12::1',
		'ff02::1',
		'::ffff:127.0.0.1',
		'::ffff:a9fe:a9fe',
		'::7f00:1',
		'64:ff9b::7f00:1',
		'2002:7f00:1::',
		'2001:db8::1',
		'2001::1',
		'nonsense',
		'',
		'1.2.3',
		'1:2',
		':::',
	])('%s is not', (ip) => expect(isPublicAddress(ip)).toBe(false));
});

describe('urlProblem', () => {
	it.each(['https://example.com/hook', 'https://hooks.example.org:8443/a?b=c', 'https://8.8.8.8/', 'https://[2606:4700::1111]/'])(
		'%s may be called',
		(url) => expect(urlProblem(url, false)).toBeUndefined(),
	);
	it.each([
		'http://example.com/',
		'ftp://example.com/',
		'file:///etc/passwd',
		'javascript:alert(1)',
		'not a url',
		'',
		'//example.com',
		'https://user:pass@example.com/',
		'https://user@example.com/',
		'https://127.0.0.1/',
		'https://127.1/',
		'https://0x7f.0.0.1/',
		'https://0x7f000001/',
		'https://2130706433/',
		'https://017700000001/',
		'https://0177.0.0.1/',
		'https://127.0.0.1./',
		'https://①②⑦.⓪.⓪.①/',
		'https://0/',
		'https://0.0.0.0/',
		'https://[::1]/',
		'https://[::]/',
		'https://[::ffff:127.0.0.1]/',
		'https://[::ffff:7f00:1]/',
		'https://[0:0:0:0:0:ffff:a9fe:a9fe]/',
		'https://[fd00::1]/',
		'https://169.254.169.254/latest/meta-data',
		'https://10.1.2.3/',
		'https://192.168.0.1/',
		'https://172.20.0.1/',
		'https://100.100.100.200/',
		'https://localhost/',
		'https://LOCALHOST./',
		'https://a.localhost/',
		'https://router/',
		'https://metadata.google.internal/',
		'https://printer.local/',
		'https://x.home.arpa/',
	])('%s may not', (url) => expect(urlProblem(url, false)).toBeTypeOf('string'));
	it('takes local addresses where the operator allows them, but never other schemes or passwords', () => {
		expect(urlProblem('http://127.0.0.1:9000/', true)).toBeUndefined();
		expect(urlProblem('file:///etc/passwd', true)).toBeTypeOf('string');
		expect(urlProblem('http://a:b@127.0.0.1/', true)).toBeTypeOf('string');
	});
});
