/**
 * `/api/v1/alerts`: what needs somebody's eyes.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { AlertRules, AlertRulesChange, toError, type Result } from '@limner/shared';
import { ALERT_KINDS, ALERT_SEVERITIES, ALERT_STATES } from '../../delivery/alerts.ts';
import type { AlertView } from '../../delivery/rpc.ts';
import { recordAction, whoOf } from '../../lib/audit.ts';
import type { AppContext } from '../../lib/context.ts';
import { jsonRequest, jsonResponse, named, newApp, pageOf, pageQuery, problems, secured, securedJson } from '../../lib/openapi.ts';
import { deliveryOf, idempotent } from '../../lib/stubs.ts';

const Alert = z
	.object({
		id: z.string(),
		kind: z.enum(ALERT_KINDS),
		/** P1 = nothing works, P2 = something works badly, P3 = it will get worse, P4 = to know. */
		severity: z.enum(ALERT_SEVERITIES),
		state: z.enum(ALERT_STATES),
		title: z.string(),
		detail: z.string(),
		subject: z.string(),
		raisedAt: z.iso.datetime(),
		acknowledgedAt: z.iso.datetime().optional(),
		acknowledgedBy: z.string().optional(),
		resolvedAt: z.iso.datetime().optional(),
		escalations: z.int(),
		/** Becomes one step worse then, unless somebody acknowledges it. */
		escalatesAt: z.iso.datetime().optional(),
	})
	.openapi('Alert', {
		example: {
			id: 'alr_01jd9x7b4v8k2m5n6p7q8r9s0t',
			kind: 'node-offline',
			severity: 'P2',
			state: 'raised',
			title: 'Node garage is offline',
			detail: 'It was last seen 4 min ago; others take its work. Start it again, or pause it if it is to stay away.',
			subject: 'node_01jd9x7b4v8k2m5n6p7q8r9s0t',
			raisedAt: '2026-11-21T12:00:00.000Z',
			escalations: 0,
			escalatesAt: '2026-11-21T12:15:00.000Z',
		},
	});
const AlertPath = z.object({ id: z.string().regex(/^alr_[0-9a-hjkmnp-tv-z]{26}$/, 'must be an alert id') });

const iso = (ms: number): string => new Date(ms).toISOString();
const view = ({ acknowledgedAt, resolvedAt, escalatesAt, ...alert }: AlertView): z.infer<typeof Alert> => ({
	...alert,
	raisedAt: iso(alert.raisedAt),
	...(acknowledgedAt === undefined ? {} : { acknowledgedAt: iso(acknowledgedAt) }),
	...(resolvedAt === undefined ? {} : { resolvedAt: iso(resolvedAt) }),
	...(escalatesAt === undefined ? {} : { escalatesAt: iso(escalatesAt) }),
});

const Change = named(AlertRulesChange, 'AlertRulesChange');
const Rules = z.object({ effective: named(AlertRules, 'AlertRules'), own: Change }).openapi('AlertRulesView');

export const alertsRoutes = newApp();

alertsRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/rules',
		operationId: 'getAlertRules',
		tags: ['alerts'],
		summary: 'When alerts are raised, how bad they are, when they escalate',
		description: '`own` is what this workspace has set; the rest of `effective` are the rules of the gateway.',
		...secured('supervisor:read'),
		responses: { 200: jsonResponse(Rules, 'The rules'), ...problems(401, 403, 429) },
	}),
	async (c) => {
		const { ws } = c.get('principal');
		const rules = await idempotent(
			() => deliveryOf(c.env, ws),
			(stub) => stub.alertRules(ws),
		);
		return c.json(rules, 200);
	},
);

alertsRoutes.openapi(
	createRoute({
		method: 'put',
		path: '/rules',
		operationId: 'setAlertRules',
		tags: ['alerts'],
		summary: 'Set the rules of this workspace',
		description:
			'Replaces what the workspace has set; what is left out follows the gateway, so `{}` goes back to it. Times are milliseconds.',
		...securedJson('supervisor:write'),
		request: { body: jsonRequest(Change) },
		responses: { 200: jsonResponse(Rules, 'The rules now'), ...problems(400, 401, 403, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { ws } = c.get('principal');
		const change = c.req.valid('json');
		const rules = await idempotent(
			() => deliveryOf(c.env, ws),
			(stub) => stub.setAlertRules(ws, change),
		);
		await recordAction(c, 'alert.rules', ws, { rules: Object.keys(change).join(' ') });
		return c.json(rules, 200);
	},
);

alertsRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/',
		operationId: 'listAlerts',
		tags: ['alerts'],
		summary: 'List alerts, newest first',
		description: 'Looks at the workspace now. An alert is resolved by itself when its cause is gone.',
		...secured('supervisor:read'),
		request: {
			query: z.object({ ...pageQuery, state: z.enum(ALERT_STATES).optional(), severity: z.enum(ALERT_SEVERITIES).optional() }),
		},
		responses: { 200: jsonResponse(pageOf(Alert), 'A page of alerts'), ...problems(401, 403, 422, 429) },
	}),
	async (c) => {
		const { limit, cursor, state, severity } = c.req.valid('query');
		const optional = {
			...(cursor === undefined ? {} : { cursor }),
			...(state === undefined ? {} : { state }),
			...(severity === undefined ? {} : { severity }),
		};
		const { ws } = c.get('principal');
		const page = await idempotent(
			() => deliveryOf(c.env, ws),
			(stub) => stub.listAlerts(ws, { limit, ...optional }),
		);
		return c.json({ data: page.data.map(view), nextCursor: page.nextCursor }, 200);
	},
);

const change = async (c: AppContext, verb: 'acknowledge' | 'resolve', id: string): Promise<z.infer<typeof Alert>> => {
	const who = whoOf(c);
	const answer: Result<{ alert: AlertView }> = await idempotent(
		() => deliveryOf(c.env, c.get('principal').ws),
		(stub) => (verb === 'acknowledge' ? stub.acknowledgeAlert(id, who) : stub.resolveAlert(id, who)),
	);
	if (!answer.ok) throw toError(answer);
	await recordAction(c, `alert.${verb}`, id, { title: answer.alert.title });
	return view(answer.alert);
};

alertsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/{id}/acknowledge',
		operationId: 'acknowledgeAlert',
		tags: ['alerts'],
		summary: 'Say that you take care of it',
		description: 'It is not escalated any more.',
		...secured('supervisor:write'),
		request: { params: AlertPath },
		responses: { 200: jsonResponse(Alert, 'The alert'), ...problems(401, 403, 404, 409, 422, 429) },
	}),
	async (c) => c.json(await change(c, 'acknowledge', c.req.valid('param').id), 200),
);

alertsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/{id}/resolve',
		operationId: 'resolveAlert',
		tags: ['alerts'],
		summary: 'Say that it is over',
		description: 'It comes back as a new alert when it is not.',
		...secured('supervisor:write'),
		request: { params: AlertPath },
		responses: { 200: jsonResponse(Alert, 'The alert'), ...problems(401, 403, 404, 409, 422, 429) },
	}),
	async (c) => c.json(await change(c, 'resolve', c.req.valid('param').id), 200),
);
