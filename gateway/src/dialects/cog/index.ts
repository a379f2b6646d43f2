/**
 * Cog's HTTP API at `/predictions`, and the part of Replicate's below `/v1` that its clients need when they are pointed here.
 * @module
 */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import { isJobId, isTerminal, LimnerError, REQUEST_LIMITS as L, resolveScheduler, urlProblem, type JobRequest } from '@limner/shared';
import type { AppContext, AppEnv } from '../../lib/context.ts';
import { jsonRequest, jsonResponse, named, newApp, problems, secured } from '../../lib/openapi.ts';
import { deliveryOf, idempotent, workspaceOf } from '../../lib/stubs.ts';
import { currentRow, viewContext } from '../../routes/jobs/service.ts';
import type { JobRow } from '../../rpc.ts';
import { answer, securedPictureJson } from '../lib/answer.ts';
import { faultOf, faultResponse, JobEnded, logFault } from '../lib/fault.ts';
import { modelFor, sizeFor } from '../lib/model.ts';
import { assetOf, base64All, decodeInline } from '../lib/pictures.ts';
import { abandon, startJob, waitForJob } from '../lib/run.ts';
import { WEBHOOK_LABEL, webhookNotes } from './letters.ts';
import { idLabel, Prediction, predictionOf } from './view.ts';

const WAIT_MAX_S = 60;
const LOOK_BACK = 100;
const EVENTS = ['start', 'output', 'logs', 'completed'] as const;

const Input = z.strictObject({
	prompt: z.string().min(1).max(L.promptChars),
	negative_prompt: z.string().max(L.promptChars).optional(),
	seed: z.int().min(L.seedMin).max(L.seedMax).optional(),
	width: z.int().min(1).optional(),
	height: z.int().min(1).optional(),
	num_inference_steps: z.int().min(L.stepsMin).max(L.stepsMax).optional(),
	steps: z.int().min(L.stepsMin).max(L.stepsMax).optional(),
	guidance_scale: z.number().min(L.guidanceMin).max(L.guidanceMax).optional(),
	num_outputs: z.int().min(L.nMin).max(L.nMax).optional(),
	scheduler: z
		.string()
		.min(1)
		.refine((name) => resolveScheduler(name) !== undefined, 'is not a scheduler that Limner knows')
		.optional(),
	/** A `data:` URL. */
	image: z.string().optional(),
	/** A `data:` URL; white is repainted. */
	mask: z.string().optional(),
	prompt_strength: z.number().min(L.strengthMin).max(L.strengthMax).optional(),
	output_format: z.enum(['png', 'jpg', 'jpeg', 'webp']).optional(),
	output_quality: z.int().min(L.outputQualityMin).max(L.outputQualityMax).optional(),
});
type Input = z.infer<typeof Input>;

const Body = named(
	z.strictObject({
		id: z
			.string()
			.min(1)
			.max(L.labelChars - 'cog:'.length)
			.optional(),
		input: Input,
		model: z.string().optional(),
		/** Replicate's: the name of a model here. */
		version: z.string().optional(),
		stream: z.boolean().optional(),
		webhook: z.url().optional(),
		webhook_events_filter: z.array(z.enum(EVENTS)).optional(),
		created_at: z.string().optional(),
	}),
	'CogRequest',
);
type Body = z.infer<typeof Body>;
const CogError = named(z.object({ detail: z.string(), title: z.string(), status: z.int() }), 'CogError');

const refuse = (c: AppContext, thrown: unknown): Response => {
	const fault = faultOf(thrown, c.get('requestId'));
	logFault(c, thrown, fault);
	return faultResponse(fault, { detail: fault.message, title: fault.code, status: fault.status });
};

/** `owner/name`, `owner/name:version` and plain names; the owner counts only when a model has it in its name. */
const modelName = (text: string | undefined): string | undefined => {
	const name = text?.split(':')[0];
	return name === undefined || name === '' ? undefined : name.replace(/^limner\//, '');
};

const picture = async (c: AppContext, text: string | undefined, field: string) =>
	text === undefined ? undefined : { asset: (await assetOf(c, decodeInline(text, field))).id };

const without = <T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
	Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;

const requestOf = async (c: AppContext, body: Body, model: string | undefined, id: string | undefined): Promise<JobRequest> => {
	const { input, webhook } = body;
	const known = await modelFor(c, model);
	const sized = input.width !== undefined || input.height !== undefined;
	const wanted = sized ? { width: input.width ?? known.nativeWidth, height: input.height ?? known.nativeHeight } : undefined;
	const { output_format: format } = input;
	return {
		prompt: input.prompt,
		model: known.name,
		...sizeFor(c, known, wanted),
		...without({
			negativePrompt: input.negative_prompt,
			seed: input.seed,
			steps: input.num_inference_steps ?? input.steps,
			guidance: input.guidance_scale,
			n: input.num_outputs,
			scheduler: input.scheduler,
			strength: input.prompt_strength,
			outputFormat: format === 'jpg' ? 'jpeg' : format,
			outputQuality: input.output_quality,
			initImage: await picture(c, input.image, 'image'),
			maskImage: await picture(c, input.mask, 'mask'),
		}),
		labels: ['cog', ...(id === undefined ? [] : [idLabel(id)]), ...(webhook === undefined ? [] : [WEBHOOK_LABEL])],
	};
};

/** The job behind an id: the job's own, or the one that a client chose. */
const rowOfPrediction = async (c: AppContext, id: string): Promise<JobRow> => {
	if (isJobId(id)) return currentRow(c, id);
	const { ws } = c.get('principal');
	const page = await idempotent(
		() => workspaceOf(c.env, ws),
		(stub) => stub.listJobs({ limit: LOOK_BACK }),
	);
	const row = page.data.find(({ spec }) => spec.labels?.includes(idLabel(id)) === true);
	if (row === undefined) throw new LimnerError('not_found', { detail: `there is no prediction ${id}` });
	return currentRow(c, row.id);
};

/** Seconds of `Prefer: wait`, or how the caller wants its answer. */
export const preferOf = (header: string | undefined): { wait: number } | 'async' | undefined => {
	if (header === undefined) return undefined;
	if (/\brespond-async\b/.test(header)) return 'async';
	const match = /\bwait(?:=(\d{1,4}))?/.exec(header);
	return match === null ? undefined : { wait: Math.min(WAIT_MAX_S, Number(match[1] ?? WAIT_MAX_S)) };
};

interface Flavour {
	/** Prefix of the paths. */
	base: '' | '/v1';
	/** Cog answers when the prediction has ended, Replicate at once; both can be told otherwise. */
	sync: boolean;
}

const viewOf = async (c: AppContext, row: JobRow, { base }: Flavour): Promise<Prediction> => {
	// Cog hands out its files inside the answer; Replicate hands out addresses.
	const inline = base === '' && row.images.length > 0 ? await base64All(c, row.images) : undefined;
	const urls = inline?.map((base64, i) => `data:${row.images[i]?.contentType ?? 'image/png'};base64,${base64}`);
	return predictionOf(viewContext(c, Date.now()), row, base, { inline: urls, notes: await webhookNotes(c, row) });
};

const isTrue = (variable: string): boolean => variable === 'true';

/**
 * Has the webhook of a request told, durably: it is tried again for a day, over restarts, and never at an address inside a network.
 * @throws {LimnerError} `validation_failed` for an address that may not be called
 */
const checkWebhook = (c: AppContext, { webhook }: Body): void => {
	const problem = webhook === undefined ? undefined : urlProblem(webhook, isTrue(c.env.WEBHOOK_ALLOW_PRIVATE));
	if (problem === undefined) return;
	const detail = `the address is refused: ${problem}`;
	throw new LimnerError('validation_failed', { detail, errors: [{ pointer: '/webhook', detail }] });
};

const expectEnd = async (c: AppContext, row: JobRow, body: Body, flavour: Flavour): Promise<void> => {
	const { webhook: url, webhook_events_filter: events = [...EVENTS] } = body;
	if (url === undefined) return;
	const { base } = viewContext(c, Date.now());
	await idempotent(
		() => deliveryOf(c.env, row.ws),
		(stub) => stub.expectJob(row.ws, { job: row.id, url, base, path: flavour.base, events }),
	);
};

/**
 * Waits until a prediction ends, the caller goes (then Cog's is cancelled, and Replicate's goes on), or its patience does
 * (then it goes on).
 */
const settled = async (c: AppContext, row: JobRow, seconds: number | undefined, hangUp: AbortSignal): Promise<JobRow> => {
	const timeout = seconds === undefined ? undefined : AbortSignal.timeout(seconds * 1000);
	const patient =
		timeout === undefined ? undefined : new Promise<'late'>((resolve) => timeout.addEventListener('abort', () => resolve('late')));
	const ended = waitForJob(c, row, { signal: hangUp, keepCanceled: true }).catch((error: unknown) => {
		if (!(error instanceof JobEnded)) throw error;
	});
	await (patient === undefined ? ended : Promise.race([ended, patient]));
	return currentRow(c, row.id);
};

const create = async (c: AppContext, body: Body, flavour: Flavour, model: string | undefined, id = body.id): Promise<Response> => {
	checkWebhook(c, body);
	const request = await requestOf(c, body, model, id);
	const key = id === undefined ? c.req.header('idempotency-key') : `cog:${id}`;
	const row = await startJob(c, { request, body: { input: body.input, model: request.model }, idempotencyKey: key });
	c.header('Limner-Job', row.id);
	// Before any answer: whoever gets one may count on being told.
	await expectEnd(c, row, body, flavour);
	const prefer = preferOf(c.req.header('prefer')) ?? (flavour.sync ? { wait: undefined } : 'async');
	// A job that a webhook waits for must not end with this connection.
	if (prefer === 'async' || prefer.wait === 0) {
		return c.newResponse(JSON.stringify(await viewOf(c, row, flavour)), flavour.base === '' ? 202 : 201, JSON_TYPE);
	}
	const status = flavour.base === '' ? 200 : 201;
	return answer(
		c,
		async (signal) =>
			Response.json(await viewOf(c, await settled(c, row, prefer.wait, flavour.sync ? signal : new AbortController().signal), flavour), {
				status,
			}),
		(thrown) => refuse(c, thrown),
	);
};

const JSON_TYPE = { 'content-type': 'application/json' };
const IdPath = z.object({ id: z.string().min(1).max(L.labelChars) });
const answers = {
	200: jsonResponse(Prediction, 'The prediction'),
	201: jsonResponse(Prediction, 'The prediction, as it is now'),
	202: jsonResponse(Prediction, 'The prediction, accepted'),
	...(Object.fromEntries(
		([400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503] as const).map((status) => [status, jsonResponse(CogError, 'Refused')]),
	) as Record<400 | 401 | 403 | 404 | 409 | 413 | 415 | 422 | 429 | 500 | 503, ReturnType<typeof jsonResponse<typeof CogError>>>),
};

const addRoutes = (app: OpenAPIHono<AppEnv>, flavour: Flavour, name: 'cog' | 'replicate'): void => {
	const tags = ['cog'];
	const what = name === 'cog' ? 'Cog' : 'Replicate';
	app.openapi(
		createRoute({
			method: 'post',
			path: '/predictions',
			operationId: `${name}Predict`,
			tags,
			summary: `Make pictures (${what})`,
			description: '`Prefer: wait`, `wait=<seconds>` or `respond-async` chooses when the answer comes.',
			...securedPictureJson('jobs:write'),
			request: { body: jsonRequest(Body) },
			responses: answers,
		}),
		async (c) => {
			const body = c.req.valid('json');
			return (await create(c, body, flavour, modelName(body.version ?? body.model))) as never;
		},
	);
	app.openapi(
		createRoute({
			method: 'get',
			path: '/predictions/{id}',
			operationId: `${name}GetPrediction`,
			tags,
			summary: `Read a prediction (${what})`,
			...secured('jobs:read'),
			request: { params: IdPath },
			responses: answers,
		}),
		async (c) => c.json(await viewOf(c, await rowOfPrediction(c, c.req.valid('param').id), flavour), 200),
	);
	app.openapi(
		createRoute({
			method: 'post',
			path: '/predictions/{id}/cancel',
			operationId: `${name}CancelPrediction`,
			tags,
			summary: `Cancel a prediction (${what})`,
			...secured('jobs:write'),
			request: { params: IdPath },
			responses: answers,
		}),
		async (c) => {
			const row = await rowOfPrediction(c, c.req.valid('param').id);
			if (!isTerminal('job', row.state)) await abandon(c, row.id);
			return c.json(await viewOf(c, await currentRow(c, row.id), flavour), 200);
		},
	);
};

/** Cog: mounted at the root. */
export const cogRoutes = newApp();
cogRoutes.onError((error, c) => refuse(c, error));
const COG: Flavour = { base: '', sync: true };
addRoutes(cogRoutes, COG, 'cog');

cogRoutes.openapi(
	createRoute({
		method: 'put',
		path: '/predictions/{id}',
		operationId: 'cogPutPrediction',
		tags: ['cog'],
		summary: 'Make pictures once, under an id of your own (Cog)',
		...securedPictureJson('jobs:write'),
		request: {
			params: IdPath.extend({
				id: z
					.string()
					.min(1)
					.max(L.labelChars - 'cog:'.length),
			}),
			body: jsonRequest(Body),
		},
		responses: answers,
	}),
	async (c) => {
		const body = c.req.valid('json');
		const { id } = c.req.valid('param');
		if (body.id !== undefined && body.id !== id)
			throw new LimnerError('bad_request', { detail: 'the id of the body is not that of the path' });
		return (await create(c, body, COG, modelName(body.version ?? body.model), id)) as never;
	},
);
cogRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/health-check',
		operationId: 'cogHealth',
		tags: ['cog'],
		summary: 'Whether predictions can be made (Cog)',
		responses: {
			200: jsonResponse(
				named(z.object({ status: z.literal('READY'), setup: z.object({ status: z.literal('succeeded') }) }), 'CogHealth'),
				'They can',
			),
			...problems(),
		},
	}),
	(c) => c.json({ status: 'READY' as const, setup: { status: 'succeeded' as const } }, 200),
);

/** Replicate: mounted at `/v1`. */
export const replicateRoutes = newApp();
replicateRoutes.onError((error, c) => refuse(c, error));
const REPLICATE: Flavour = { base: '/v1', sync: false };
addRoutes(replicateRoutes, REPLICATE, 'replicate');
replicateRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/models/{owner}/{name}/predictions',
		operationId: 'replicatePredictWithModel',
		tags: ['cog'],
		summary: 'Make pictures with a model (Replicate)',
		description: 'The owner is `limner`, unless a model has another one in its name.',
		...securedPictureJson('jobs:write'),
		request: {
			params: z.object({ owner: z.string().min(1).max(L.modelNameChars), name: z.string().min(1).max(L.modelNameChars) }),
			body: jsonRequest(Body),
		},
		responses: answers,
	}),
	async (c) => {
		const { owner, name } = c.req.valid('param');
		return (await create(c, c.req.valid('json'), REPLICATE, modelName(`${owner}/${name}`))) as never;
	},
);
