/**
 * How the requests of the Postman collection hang together: in which order, what each remembers for those after it, and
 * what it answers when all goes as it should.
 * @module
 */

export interface Link {
	/** Variables that are set from the answer, and where they stand in it: names and indices, separated by dots. */
	saves?: Record<string, string>;
	/** Values of parameters in the path. */
	path?: Record<string, string>;
	/** `name=value`, to be sent. */
	query?: string;
	/** Fields of the body that are not as in the document's example. */
	body?: Record<string, unknown>;
	/** Statuses that are right, where 2xx cannot be expected. */
	expect?: number[];
	/** Lines of the test script that set variables in other ways. */
	sets?: string[];
	/** Instead of the key. */
	bearer?: string;
	/** Has no end of its own: left out where `withoutStreams` is `true`. */
	endless?: true;
}

/** A picture that is drawn while the request waits. */
const DRAWN = { prompt: 'a red castle in the mountains in the snow', width: 64, height: 64, steps: 2, seed: 5 };
const TICKET = "pm.collectionVariables.set('objectTicket', (pm.collectionVariables.get('imageUrl') ?? '').split('/').pop());";
const TASK = "pm.collectionVariables.set('taskJob', pm.response.json().id.slice('job_'.length));";
const PERSON = '{{accessToken}}';
const EMAIL = '{{email}}';
const PASSWORD = '{{password}}';

/** Parameters in the path, by the tag of the operation. */
export const PATHS: Record<string, Record<string, string>> = {
	jobs: { id: '{{jobId}}', index: '0' },
	workflows: { id: '{{workflowId}}' },
	images: { id: '{{imageId}}', index: '0', ticket: '{{objectTicket}}' },
	assets: { id: '{{assetId}}' },
	nodes: { id: '{{nodeId}}' },
	supervisor: { id: '{{workerId}}' },
	pool: { id: '{{agentId}}' },
	webhooks: { id: '{{webhookId}}', deliveryId: '{{deliveryId}}' },
	reports: { id: '{{reportId}}' },
	hooks: { kind: 'email' },
	alerts: { id: 'alr_00000000000000000000000000' },
	keys: { id: '{{keyId}}' },
	workspaces: { id: '{{workspaceId}}', accountId: '{{accountId}}' },
	accounts: { id: '{{sessionId}}' },
	backup: { id: '{{jobId}}', index: '0' },
	openai: { model: '{{model}}' },
	kserve: { model: '{{model}}' },
	cog: { id: '{{predictionId}}', owner: 'limner', name: '{{model}}' },
};

/** Operations in the order in which they are run; those that are not named come after, as the document has them. */
export const CHAIN: Record<string, Link> = {
	submitJob: {
		query: 'wait=30',
		body: DRAWN,
		saves: { jobId: 'id', imageId: 'images.0.id', imageUrl: 'images.0.url' },
		expect: [200],
		sets: [TICKET],
	},
	listJobs: {},
	getJob: {},
	createStreamTicket: {},
	followJob: {},
	getJobImage: { path: { id: '{{jobId}}' } },
	updateJob: { expect: [200, 409] },
	retryJob: { expect: [200, 202] },
	submitWorkflow: {
		body: {
			name: 'castle, then snow',
			jobs: [
				{ key: 'draft', ...DRAWN },
				{ key: 'snow', ...DRAWN, dependsOn: ['draft'] },
			],
		},
		saves: { workflowId: 'id' },
	},
	listImages: {},
	reportImage: { path: { id: '{{imageId}}' }, saves: { reportId: 'id' } },
	listReports: {},
	dismissReport: {},
	takeDownImage: { path: { id: 'img_{{taskJob}}_0' } },
	testHook: { expect: [200, 409] },
	forgotPassword: { body: { email: EMAIL }, expect: [202, 409] },
	getObject: {},
	createAsset: { saves: { assetId: 'id' } },
	createJoinToken: { saves: { joinToken: 'token', joinTokenId: 'id' }, body: { maxUses: 2 } },
	enrolNode: { body: { token: '{{joinToken}}' }, saves: { nodeId: 'nodeId' } },
	approveNode: { expect: [200, 409] },
	revokeJoinToken: { path: { id: '{{joinTokenId}}' } },
	connectNode: { expect: [401, 426] },
	renewNode: { expect: [401] },
	rotateNodeKey: { expect: [401] },
	uploadResult: { path: { ticket: 'made-up' }, expect: [401] },
	resultUploadUrl: { path: { ticket: 'made-up' }, expect: [401] },
	resultUploadDone: { path: { ticket: 'made-up' }, expect: [401] },
	listWorkers: { saves: { workerId: 'data.0.id' } },
	pauseWorker: {},
	resumeWorker: {},
	listAgents: { saves: { agentId: 'data.0.agentId' } },
	submitPoolTask: { query: 'wait=30', body: DRAWN, saves: { taskJobId: 'id' }, expect: [200], sets: [TASK] },
	listPoolTasks: {},
	getPoolTask: { path: { id: '{{taskJobId}}.0' } },
	allocateResources: { body: { images: 1, megapixelSteps: 0 }, saves: { reservationId: 'id' } },
	releaseResources: { body: { id: '{{reservationId}}' } },
	createOwnerLink: { body: { workspaceId: '{{workspaceId}}' }, saves: { ownerInvitation: 'token' }, expect: [201] },
	createAccount: {
		body: { email: EMAIL, password: PASSWORD, invitation: '{{ownerInvitation}}' },
		saves: { accessToken: 'accessToken', refreshToken: 'refreshToken', accountId: 'account.id' },
	},
	createToken: { body: { email: EMAIL, password: PASSWORD }, saves: { accessToken: 'accessToken', refreshToken: 'refreshToken' } },
	getAccount: {},
	updateAccount: {},
	createResetLink: { body: { email: EMAIL }, saves: { resetToken: 'token' } },
	listSessions: { saves: { sessionId: 'data.0.id' } },
	createKey: { saves: { keyId: 'id' } },
	updateKey: {},
	rotateKey: { saves: { keyId: 'id' } },
	createWebhook: { saves: { webhookId: 'id' } },
	testWebhook: {},
	listWebhookDeliveries: { saves: { deliveryId: 'data.0.id' } },
	redeliverWebhook: { expect: [202, 409] },
	createWorkspace: { body: { id: '{{newWorkspaceId}}' } },
	listMembers: {},
	createInvitation: { body: { email: 'guest@example.com' }, bearer: PERSON, saves: { invitationId: 'id', invitationToken: 'token' } },
	previewInvitation: { body: { invitation: '{{invitationToken}}' } },
	acceptInvitation: { body: { invitation: '{{invitationToken}}' }, expect: [403, 409] },
	revokeInvitation: { path: { id: '{{invitationId}}' } },
	setMemberRole: { bearer: PERSON, body: { role: 'owner' }, expect: [200, 409, 422] },
	transferOwnership: { bearer: PERSON, body: { accountId: '{{accountId}}' }, expect: [200, 409] },
	removeMember: { bearer: PERSON, expect: [409] },
	deleteWorkspace: { bearer: PERSON, body: { confirm: 'not the id', password: PASSWORD }, expect: [409] },
	acknowledgeAlert: { expect: [404] },
	resolveAlert: { expect: [404] },
	followPresence: { endless: true },
	beginRestore: { expect: [409] },
	restoreRows: { expect: [409, 422] },
	restoreWorkspace: { expect: [409, 422] },
	finishRestore: { expect: [409] },
	restorePicture: { expect: [404, 409, 411, 422] },
	openaiGenerateImages: { body: { size: '64x64', model: '{{model}}' } },
	openaiEditImage: { body: { size: '64x64' } },
	a1111Txt2Img: { body: { width: 64, height: 64, steps: 2 } },
	a1111Img2Img: { body: { width: 64, height: 64, steps: 2 } },
	a1111SetOptions: { body: { sd_model_checkpoint: '{{model}}' } },
	cogPredict: { body: { input: { prompt: DRAWN.prompt, width: 64, height: 64 } }, saves: { predictionId: 'id' } },
	cogPutPrediction: { path: { id: 'postman-{{$timestamp}}' }, body: { input: { prompt: DRAWN.prompt, width: 64, height: 64 } } },
	replicatePredict: { body: { input: { prompt: DRAWN.prompt, width: 64, height: 64 } }, saves: { predictionId: 'id' } },
	replicatePredictWithModel: { body: { input: { prompt: DRAWN.prompt, width: 64, height: 64 } } },
	// What takes away comes last.
	cancelJob: { expect: [200, 409] },
	cancelWorkflow: {},
	deleteImage: {},
	deleteJob: { expect: [200, 409] },
	banNode: {},
	failAgent: { expect: [200, 409] },
	drainWorker: {},
	terminateWorker: {},
	shutdownPool: { expect: [200, 409] },
	revokeKey: {},
	deleteWebhook: {},
	resetPassword: { body: { token: '{{resetToken}}', password: '{{password}}' } },
	revokeToken: { body: { refreshToken: '{{refreshToken}}' }, expect: [204, 401] },
	endSession: { expect: [204, 401, 404] },
	deleteAccount: { body: { password: PASSWORD }, expect: [204, 401, 409] },
};

/** What others need, from another folder. */
export const FIRST: readonly string[] = ['createOwnerLink'];

/** What stops the machines, or ends the account, is asked for after everything else. */
export const LAST: readonly string[] = [
	'failAgent',
	'drainWorker',
	'shutdownPool',
	'terminateWorker',
	'revokeToken',
	'resetPassword',
	'endSession',
	'deleteAccount',
	'takeDownImage',
	'deleteImage',
	'deleteJob',
	'deleteWebhook',
	'revokeKey',
	'banNode',
];
