import { expect, it } from 'vitest';
import { letterNotes } from './letters.ts';

const letter = { id: 'dlv_1', url: 'https://hooks.example.com/x?token=1', type: 'prediction.start', attempts: [] };
const failed = { at: 0, ms: 3, error: 'no answer within 10 s' };

it.each([
	[{ ...letter, state: 'pending' as const }, []],
	[{ ...letter, state: 'delivered' as const, attempts: [failed, { at: 1, ms: 1, status: 204 }] }, []],
	[
		{ ...letter, state: 'pending' as const, attempts: [failed], nextAttemptAt: 60_000 },
		['webhook at hooks.example.com, prediction.start: no answer within 10 s, after 1 try; next one at 1970-01-01T00:01:00.000Z'],
	],
	[
		{ ...letter, state: 'dead' as const, attempts: [failed, failed] },
		[
			'webhook at hooks.example.com, prediction.start: no answer within 10 s, after 2 tries; given up. POST /api/v1/webhooks/predictions/deliveries/dlv_1/redeliver sends it again',
		],
	],
])('says what became of a letter', (one, lines) => expect(letterNotes([one])).toEqual(lines));
