/**
 * Values for the examples of the OpenAPI document: whole request bodies, and what fields of a name usually hold.
 * @module
 */

/** Digits of an id; cut to the length that the kind of id has. */
const DIGITS = '01kb3x9q2r7m5v8c4d6f0g1h2j3n00';
const HEX = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08';
const BASE64URL = 'MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE-Lv0a8mXW2s7dK3fQ9yT1uB6cQ4eR5tZ0xN';
/** A grey picture of one pixel. */
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==';

/** An id of a kind, as long as its kind is. */
export const sampleId = (kind: string, length: number): string => `${kind}_${DIGITS.slice(0, length)}`;

const JOB = sampleId('job', 28);
const NODE = sampleId('node', 26);
const AT = '2026-11-21T12:00:00.000Z';
export const sampleTime = AT;

/** The text that a pattern of this API stands for; undefined for a pattern of free text. */
export const fromPattern = (pattern: string): string | undefined => {
	const id = /^\^([a-z]+)_\(?\[[^\]]+\]\{(\d+)\}/.exec(pattern);
	if (id?.[1] !== undefined) {
		const made = sampleId(id[1], Number(id[2]));
		return pattern.includes('_(0|')
			? `${made}_0`
			: pattern.includes('[./]')
				? `${made}.0`
				: pattern.includes('\\.(?:0|')
					? `${made}.0`
					: made;
	}
	const counted = /^\^\[(0-9a-f|A-Za-z0-9_-)\]\{(\d+)\}\$$/.exec(pattern);
	return counted === null ? undefined : (counted[1] === '0-9a-f' ? HEX : BASE64URL).slice(0, Number(counted[2]));
};

/** What a field `id` holds in a component. */
const IDS: Record<string, string> = {
	Job: JOB,
	Workflow: sampleId('wf', 28),
	GalleryImage: `${sampleId('img', 28)}_0`,
	ImageMetadata: `${sampleId('img', 28)}_0`,
	Asset: sampleId('asset', 26),
	Worker: NODE,
	PoolAgent: `${NODE}.0`,
	AgentFailed: `${NODE}.0`,
	PoolTask: `${JOB}.0`,
	NodeDecision: NODE,
	Webhook: sampleId('wh', 26),
	WebhookWithSecret: sampleId('wh', 26),
	WebhookDelivery: sampleId('dlv', 26),
	Alert: sampleId('alr', 26),
	Reservation: sampleId('alloc', 16),
	Workspace: 'studio-north',
	WorkspaceEntry: 'studio-north',
	DialectModel: 'storybook',
	CogPrediction: JOB,
};

/** What a field of a name holds, wherever it is. */
const FIELDS: Record<string, unknown> = {
	accessToken: 'eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhY2NfMDFrYjN4In0.c2lnbmF0dXJl',
	accountId: 'acc_01kb3x9q2r7m5v8c4d6f0g1h2j',
	agentVersion: '0.1.0',
	alg: 'EdDSA',
	b64_json: PIXEL,
	bytesBase64Encoded: PIXEL,
	certificate: 'eyJrIjoibm9kZSJ9.c2lnbmF0dXJl',
	code: 'validation_failed',
	confirm: 'studio-north',
	contentType: 'image/png',
	createdBy: 'key:a1b2c3d4',
	created_at: AT,
	crv: 'Ed25519',
	datatype: 'BYTES',
	description: 'for the build server',
	device: 'NVIDIA GeForce RTX 4090',
	displayName: 'Storybook',
	email: 'ada@example.com',
	engine: 'onnx',
	family: 'sd-1.5',
	hash: HEX,
	image: `data:image/png;base64,${PIXEL}`,
	image_url: `data:image/png;base64,${PIXEL}`,
	invitation: 'li_studio-north_01kb3x9q_2r7m5v8c4d6f0g1h2j3n',
	jobId: JOB,
	job: JOB,
	key: 'lk_studio-north_a1b2c3d4_0123456789abcdefghjkmnpqrstvwxyz',
	keyId: 'a1b2c3d4',
	kid: '2950-9f86d081',
	kty: 'OKP',
	licence: 'Apache-2.0',
	loadedModel: 'storybook',
	mimeType: 'image/png',
	model: 'storybook',
	model_name: 'storybook',
	name: 'first',
	negativePrompt: 'text, frame',
	negative_prompt: 'text, frame',
	nodeId: NODE,
	note: 'batch for Monday',
	platform: 'linux-x64',
	prev: HEX,
	prompt: 'a red castle in the mountains in the snow',
	reason: 'maintenance',
	refreshToken: 'lr_01kb3x9q2r7m5v8c_4d6f0g1h2j3n',
	requestId: '3f0c9a52-6f1e-4e57-9d63-8a5a4f8f2b10',
	role: 'member',
	root: 'storybook',
	sampler_name: 'DDIM',
	scheduler: 'ddim',
	scope: 'own',
	secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
	sha256: HEX,
	size: '512x512',
	slotId: '0',
	state: 'succeeded',
	taskId: `${JOB}.0`,
	token: 'lj_studio-north_01kb3x9q_2r7m5v8c4d6f0g1h2j3n',
	traceId: '06f7a7a8bdbf4d6c9b1fe6185141d4b0',
	url: 'https://limner.example/api/v1/objects/eyJrIjoidyJ9.c2lnbmF0dXJl',
	use: 'sig',
	version: '0.1.0',
	who: 'key:a1b2c3d4',
	workspaceId: 'studio-north',
	workspaceName: 'Studio North',
	ws: 'studio-north',
	x: BASE64URL.slice(0, 43),
	at: 1_795_262_400_000,
	bytes: 245_760,
	guidance: 4,
	height: 512,
	megapixelSteps: 5.243,
	nativeHeight: 512,
	nativeWidth: 512,
	seed: 5,
	steps: 20,
	width: 512,
};

/** What a field holds in a component; undefined where neither name says it. */
export const fieldValue = (component: string, name: string): unknown => (name === 'id' ? (IDS[component] ?? 'a1b2c3d4') : FIELDS[name]);

const PROMPT = 'a red castle in the mountains in the snow';
const tensor = (name: string, datatype: string, value: unknown): object => ({ name, shape: [1], datatype, data: [value] });

/** Whole bodies, by component: what somebody would send first. */
export const BODIES: Record<string, unknown> = {
	AnyJobRequest: { prompt: PROMPT, steps: 20, guidance: 4, seed: 5, n: 1 },
	Job: {
		id: JOB,
		state: 'succeeded',
		createdAt: AT,
		startedAt: '2026-11-21T12:00:00.040Z',
		finishedAt: '2026-11-21T12:00:02.310Z',
		request: {
			task: 'txt2img',
			model: 'storybook',
			prompt: PROMPT,
			negativePrompt: null,
			width: 512,
			height: 512,
			steps: 20,
			guidance: 4,
			scheduler: 'ddim',
			seed: 5,
			n: 1,
			pasteBack: true,
			class: 'interactive',
			priority: 5,
			deadlineAt: 1_795_348_800_000,
		},
		images: [
			{
				id: `${sampleId('img', 28)}_0`,
				index: 0,
				seed: 5,
				width: 512,
				height: 512,
				contentType: 'image/png',
				bytes: 245_760,
				sha256: HEX,
				url: FIELDS['url'],
				expiresAt: '2026-12-21T12:00:02.310Z',
			},
		],
		warnings: [],
		history: [
			{ rev: 1, at: 1_795_262_400_000, type: 'queued', who: 'key:a1b2c3d4', to: 'queued' },
			{ rev: 2, at: 1_795_262_400_040, type: 'assigned', who: NODE, from: 'queued', to: 'running' },
			{ rev: 3, at: 1_795_262_402_310, type: 'succeeded', who: NODE, from: 'running', to: 'succeeded' },
		],
		links: { self: `/api/v1/jobs/${JOB}`, events: `/api/v1/jobs/${JOB}/events`, cancel: `/api/v1/jobs/${JOB}/cancel` },
	},
	WorkflowRequest: {
		name: 'castle, then snow',
		jobs: [
			{ key: 'draft', prompt: PROMPT, seed: 5 },
			{ key: 'snow', prompt: 'the same castle in deep snow', initImage: { job: 'draft', index: 0 }, strength: 0.6, dependsOn: ['draft'] },
		],
	},
	EnrolRequest: { token: FIELDS['token'], publicKey: BASE64URL.slice(0, 43), name: 'workstation' },
	JoinTokenRequest: { trust: 'own', maxUses: 1, labels: ['gpu'] },
	TokenRequest: { grant: 'password', email: 'ada@example.com', password: 'correct horse battery' },
	ApiKeyRequest: { name: 'CI', scopes: ['jobs:read', 'jobs:write'] },
	ApiKeyChange: { name: 'CI', scopes: ['jobs:read'] },
	AccountChange: { name: 'Ada' },
	WebhookRequest: { url: 'https://example.com/hooks/limner', events: ['job.*'] },
	WebhookChange: { events: ['job.succeeded', 'job.failed'] },
	WorkspaceLimits: { day: { images: 1000 }, queued: 50, concurrent: 8 },
	WorkspaceRequest: { name: 'Studio North', id: 'studio-north' },
	InvitationRequest: { role: 'member', email: 'ada@example.com' },
	OwnerLinkRequest: { workspaceId: 'studio-north' },
	BanRequest: { reason: 'sends pictures that are not what was asked for' },
	KeyRotation: { graceS: 3600 },
	AgentFailRequest: { reason: 'the fan has stopped' },
	OpenAIImageGeneration: { model: 'storybook', prompt: PROMPT, n: 1, size: '512x512', response_format: 'b64_json' },
	OpenAIImageEdit: { prompt: PROMPT, images: [{ image_url: FIELDS['image_url'] }], response_format: 'b64_json' },
	KServePredict: { instances: [{ prompt: PROMPT }], parameters: { steps: 20, seed: 5 } },
	KServeInfer: { inputs: [tensor('prompt', 'BYTES', PROMPT), tensor('steps', 'INT32', 20)] },
	CogRequest: { input: { prompt: PROMPT, num_inference_steps: 20, seed: 5 } },
	A1111Txt2Img: { prompt: PROMPT, steps: 20, cfg_scale: 4, width: 512, height: 512, sampler_name: 'DDIM', seed: 5 },
	A1111Img2Img: { prompt: PROMPT, init_images: [PIXEL], denoising_strength: 0.6, steps: 20 },
	A1111PngInfoRequest: { image: PIXEL },
	A1111ExtraSingle: { image: PIXEL, upscaler_1: 'Lanczos', resize_mode: 1, upscaling_resize_w: 64, upscaling_resize_h: 64 },
	A1111ExtraBatch: {
		imageList: [{ data: PIXEL, name: 'pixel.png' }],
		upscaler_1: 'Lanczos',
		resize_mode: 1,
		upscaling_resize_w: 64,
		upscaling_resize_h: 64,
	},
	A1111TaskQuestion: { id_task: 'task(01kb3x9q)' },
	A1111Options: { sd_model_checkpoint: 'storybook' },
	OpenAIError: {
		error: { message: 'the model nothing does not exist', type: 'invalid_request_error', param: 'model', code: 'model_not_found' },
	},
	KServeError: { error: 'Model with name nothing does not exist.' },
	CogError: { detail: '/input/prompt: Invalid input: expected string, received undefined', title: 'validation_failed', status: 422 },
	A1111Error: { detail: [{ loc: ['body', 'steps'], msg: 'Too big: expected number to be <=150', type: 'validation_failed' }] },
	ServerSentEvent: { id: '3', event: 'succeeded', data: `{"jobId":"${JOB}","state":"succeeded"}` },
	KeyLimits: { minute: { jobs: 30 }, day: { images: 200 } },
};
