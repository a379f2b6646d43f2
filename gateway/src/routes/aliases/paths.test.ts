import { describe, expect, it } from 'vitest';
import { aliasOf } from './paths.ts';

describe('aliasOf', () => {
	it.each([
		['/api/jobs', '/api/v1/jobs'],
		['/api/jobs/', '/api/v1/jobs'],
		['/api/jobs/submit', '/api/v1/jobs'],
		['/api/jobs/x', '/api/v1/jobs/x'],
		['/api/jobs/x/status', '/api/v1/jobs/x'],
		['/api/jobs/x/cancel', '/api/v1/jobs/x/cancel'],
		['/api/jobs/x/stream', '/api/v1/jobs/x/events'],
		['/api/jobs/x/events', '/api/v1/jobs/x/events'],
		['/v1/jobs', '/api/v1/jobs'],
		['/v1/jobs/x', '/api/v1/jobs/x'],
		['/v1/jobs/x/stream', '/api/v1/jobs/x/events'],
		['/api/supervisor/workers/x/pause', '/api/v1/supervisor/workers/x/pause'],
		['/api/resources/usage', '/api/v1/resources/usage'],
		['/api/coordination/initialize', '/api/v1/pool/initialize'],
		['/api/coordination/pool', '/api/v1/pool'],
		['/api/coordination/pool/agents', '/api/v1/pool/agents'],
		['/api/coordination/agents/a/fail', '/api/v1/pool/agents/a/fail'],
		['/api/coordination/presence', '/api/v1/presence'],
		['/api/coordination', '/api/v1/pool'],
	])('%s → %s', (from, to) => expect(aliasOf(from)).toBe(to));
	it('submits tasks as jobs', () => {
		expect(aliasOf('/api/v1/pool/tasks', 'POST')).toBe('/api/v1/jobs');
		expect(aliasOf('/api/coordination/tasks', 'POST')).toBe('/api/v1/jobs');
		expect(aliasOf('/api/v1/pool/tasks', 'GET')).toBeUndefined();
	});
	it.each(['/api/v1/jobs', '/v1/models', '/v1/images/generations', '/api/jobsx', '/api/coordination/nothing', '/', '/api', '/v2/jobs'])(
		'%s is none',
		(path) => expect(aliasOf(path)).toBeUndefined(),
	);
});
