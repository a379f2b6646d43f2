/**
 * Contracts between the Worker and its Durable Objects, and between Durable Objects. A method is one RPC; expected
 * refusals are data (`Result`), because error classes do not survive RPC. Every Pool method that names a job takes
 * `ws` and answers as if the job did not exist when it belongs to somebody else.
 * @module
 */
import type { IsolationRecord, TelemetrySample } from './pool/model.ts';
import type {
	BackupPart,
	FailureClass,
	HistEntry,
	ImageRecord,
	JobError,
	JobSpec,
	JobState,
	LedgerAction,
	LedgerEntry,
	LedgerRow,
	ModelInfo,
	KeyLimits,
	Metric,
	NodeMode,
	QueueView,
	RateLimit,
	Refusal,
	Result,
	Role,
	TaskType,
	TaskView,
	Usage,
	WindowName,
	WorkspaceLimits,
} from '@limner/shared';

export type { IsolationRecord, TelemetrySample } from './pool/model.ts';

export type Scope = string;

/** Who is calling, as the Workspace knows the key or the member. */
export interface Principal {
	/** Empty for an account that is in no workspace. */
	ws: string;
	/** Id of the key, or of the account when a person calls. */
	keyId: string;
	scopes: Scope[];
	/** Fair-queueing weight of the workspace. */
	weight: number;
	/** Models that the key may use; absent = all. */
	models?: string[];
	/** When the key ends. */
	expiresAt?: number;
	/** The key has limits of its own, so it must not make keys that have none. */
	limited?: true;
	/** Set when a person calls with an access token. */
	account?: { id: string; email: string; name: string; sessionId: string };
	role?: Role;
}

/** Whom an access token was made for: checked by the Worker, looked up again by the Workspace. */
export type TokenCaller = { kind: 'key'; keyId: string } | { kind: 'account'; accountId: string };

/** A job as the Workspace row keeps it. */
export interface JobRow {
	id: string;
	ws: string;
	state: JobState;
	spec: JobSpec;
	createdAt: number;
	startedAt?: number;
	finishedAt?: number;
	images: ImageRecord[];
	/** Complete once settled; before that it holds what `submit` wrote. */
	hist: HistEntry[];
	warnings: string[];
	error?: JobError;
	usage?: Usage;
	traceId?: string;
	retryOf?: string;
	/** Pictures were removed by retention or by the owner at this time. */
	purgedAt?: number;
}

export interface SubmitInput {
	/** Hash of the key; absent when `caller` says whom a verified token was made for. */
	keyHash?: string;
	keyId: string;
	caller?: TokenCaller;
	/** Reservation to draw from. */
	allocationId?: string;
	/** What the content policy says; a request that was accepted before is answered as it was. */
	refusal?: Refusal;
	spec: JobSpec;
	warnings: string[];
	traceId: string;
	idempotency?: { key: string; bodyHash: string };
	retryOf?: string;
}

/** One job of a workflow, before its key was replaced by an id. */
export interface WorkflowSubmitJob {
	key: string;
	spec: JobSpec;
	warnings: string[];
	/** Keys of this workflow, or ids of jobs that exist. */
	dependsOn: string[];
}

export interface WorkflowSubmitInput {
	/** Who calls, as for a single job. */
	keyHash?: string;
	keyId: string;
	caller?: TokenCaller;
	name?: string;
	/** As of a single job. */
	refusal?: Refusal;
	jobs: WorkflowSubmitJob[];
	traceId: string;
	idempotency?: { key: string; bodyHash: string };
}

export interface WorkflowSubmitOutput {
	/** In the order of the request; the workflow's id comes from the first one. */
	jobs: PoolJob[];
	rows: JobRow[];
	replayed: boolean;
	principal: Principal;
	shard: number;
	/** The limit that is nearest to its end, if there is any. */
	rateLimit?: RateLimit;
}

export interface SubmitOutput {
	row: JobRow;
	/** The same Idempotency-Key and body came before: `row` is that job, nothing was written. */
	replayed: boolean;
	principal: Principal;
	/** Shard that must get `Pool.enqueue`; equals the suffix of the job id. */
	shard: number;
	/** How the dependencies stood, for the hand-over. */
	deps?: KnownDependency[];
	/** The tightest limit, when there is one. */
	rateLimit?: RateLimit;
}

/** Terminal event of a job, absolute values; applied iff the job is still open. */
export interface Settlement {
	ws: string;
	jobId: string;
	state: JobState;
	images: ImageRecord[];
	hist: HistEntry[];
	error?: JobError;
	usage: Usage;
	startedAt?: number;
	finishedAt: number;
	warnings: string[];
}

/** An API key without anything secret. Times are milliseconds since the epoch. */
export interface KeyView {
	id: string;
	name: string;
	scopes: string[];
	createdAt: number;
	/** Account id or `key:<id>`; null for the bootstrap key. */
	createdBy: string | null;
	expiresAt: number | null;
	revokedAt: number | null;
	lastUsedAt: number | null;
	/** Null = all models. */
	models: string[] | null;
	limits: KeyLimits | null;
	/** The key text before the last rotation is still good until then. */
	previousUntil: number | null;
}

export interface KeyInput {
	name: string;
	scopes: string[];
	expiresAt: number | null;
	models: string[] | null;
	limits: KeyLimits | null;
}

export interface MemberView {
	accountId: string;
	email: string;
	name: string;
	role: Role;
	joinedAt: number;
	addedBy: string;
}

export interface InvitationView {
	id: string;
	role: Role;
	/** Only this address may accept; null = whoever has the link. */
	email: string | null;
	createdAt: number;
	createdBy: string;
	expiresAt: number;
	state: 'open' | 'used' | 'expired' | 'revoked';
}

export interface WorkspaceView {
	id: string;
	name: string;
	createdAt: number;
	members: number;
	hasOwner: boolean;
	limits: WorkspaceLimits;
	deletingSince: number | null;
}

/** Who did it: an account id, or `key:<id>`. */
export type Actor = string;
/** Who does it, and with what rights: nobody gives away, or takes from others, more than they have. */
export interface By {
	actor: Actor;
	scopes: string[];
}

/** Accounts of people. The Worker verifies passwords; an Account only keeps their hashes. */
export interface AccountView {
	id: string;
	email: string;
	name: string;
	createdAt: number;
}

export interface NewSession {
	sessionId: string;
	refreshToken: string;
	account: AccountView;
}

/** What a person let a client of OAuth do. */
export interface OAuthGrant {
	clientId: string;
	clientName: string;
	/** Audience of its access tokens. */
	resource: string;
	ws: string;
	scopes: string[];
}

/** What an authorization code stands for. */
export interface CodeInput {
	grant: OAuthGrant;
	redirectUri: string;
	/** PKCE, S256. */
	challenge: string;
}

/** What comes with a code at its redemption. */
export interface CodeProof {
	clientId: string;
	redirectUri: string;
	/** S256 of the verifier. */
	challenge: string;
	/** Absent: the one of the authorization. */
	resource?: string;
}

export interface GrantSession {
	sessionId: string;
	refreshToken: string;
	accountId: string;
	grant: OAuthGrant;
}

export interface SessionView {
	id: string;
	createdAt: number;
	usedAt: number;
	expiresAt: number;
	agent: string;
}

export interface Membership {
	ws: string;
	role: Role;
	joinedAt: number;
}

export interface AccountRpc {
	create(input: { id: string; email: string; name: string; phc: string }): Promise<Result<{ account: AccountView }>>;
	/** Counts an attempt and answers the hash to check; `null` when there is no account. Refused while throttled. */
	beginSignIn(): Promise<Result<{ phc: string | null }>>;
	/** The password was right. `phc`: a new hash, when the old one has outdated parameters. */
	signedIn(input: { phc?: string; agent: string }): Promise<Result<NewSession>>;
	/** The password was right, without a session: failed attempts are forgotten. */
	passwordWasRight(phc?: string): Promise<void>;
	/** A person's own sessions only. */
	refresh(sessionId: string, tokenHash: string): Promise<Result<NewSession>>;
	/** Sessions of the client of OAuth only. */
	refreshGrant(sessionId: string, tokenHash: string, clientId: string): Promise<Result<GrantSession>>;
	createCode(input: CodeInput): Promise<Result<{ code: string }>>;
	/** Once; a second use ends the session of the first. */
	redeemCode(id: string, codeHash: string, proof: CodeProof): Promise<Result<GrantSession>>;
	/** Whether a session is alive, and whose it is. */
	session(sessionId: string): Promise<Result<{ account: AccountView }>>;
	sessions(): Promise<SessionView[]>;
	revokeSession(sessionId: string): Promise<boolean>;
	/** Ends the session if the token is its own. */
	revokeByToken(sessionId: string, tokenHash: string): Promise<void>;
	/** Ends all sessions but one, and all reset links. */
	setPassword(phc: string, keepSession?: string): Promise<void>;
	rename(name: string): Promise<AccountView | null>;
	/** @param gapMs refused when the last link was made less than this ago */
	createReset(gapMs?: number): Promise<Result<{ token: string; expiresAt: number }>>;
	checkReset(id: string, tokenHash: string): Promise<boolean>;
	useReset(id: string, tokenHash: string, phc: string): Promise<boolean>;
	view(): Promise<AccountView | null>;
	memberships(): Promise<Membership[]>;
	setMembership(ws: string, role: Role | null): Promise<void>;
	remove(): Promise<void>;
}

export interface GaugeView {
	window: WindowName;
	metric: Metric;
	limit: number;
	used: number;
	reserved: number;
	remaining: number;
	resetsAt: number;
}

export interface AllocationInput {
	images: number;
	megapixelSteps: number;
	startsAt: number;
	endsAt: number;
	note: string;
}

/** What became of a reservation, and the limit of the workspace that is nearest to its end. */
export interface Allocated {
	allocation: AllocationView;
	rateLimit?: RateLimit;
}

export interface AllocationView extends AllocationInput {
	id: string;
	createdAt: number;
	createdBy: string;
	leftImages: number;
	leftMegapixelSteps: number;
	state: 'planned' | 'active' | 'ended' | 'released';
}

export interface QuotaReport {
	workspaceId: string;
	windows: GaugeView[];
	queued: { used: number; limit: number };
	concurrent: { limit: number | null };
	storage: { usedBytes: number; limitBytes: number | null; retentionMs: number | null };
	key: { id: string; windows: GaugeView[]; queued: { used: number; limit: number | null } } | null;
	allocations: AllocationView[];
}

/** What one key used of one model on one day. */
export interface UsagePoint {
	dayAt: number;
	keyId: string;
	model: string;
	jobs: number;
	images: number;
	megapixelSteps: number;
	failed: number;
}

/** What is known of a request with an Idempotency-Key. */
export type BegunRequest = { kind: 'new' } | { kind: 'in_flight'; retryAfterS: number } | { kind: 'done'; reply: string };

/** Idempotency of requests other than submits. */
export interface RepliesRpc {
	/** @param name hash of the caller and the Idempotency-Key */
	beginRequest(name: string, bodyHash: string): Promise<Result<BegunRequest>>;
	/** @param reply encrypted answer; `null` frees the key */
	endRequest(name: string, reply: string | null): Promise<void>;
}

/** Quotas, usage and reservations of a workspace. */
export interface ResourcesRpc {
	/** @param keyId to tell what is left of the limits of a key too */
	quotas(keyId?: string): Promise<QuotaReport>;
	usageSeries(fromMs: number, toMs: number): Promise<UsagePoint[]>;
	allocate(input: AllocationInput, actor: Actor): Promise<Result<Allocated>>;
	release(id: string, actor: Actor): Promise<Result<Allocated>>;
	/** Bytes that may still be stored; `null` = no limit. */
	storageLeft(): Promise<number | null>;
}

/** Keys, members and invitations of a workspace. */
export interface TenancyRpc {
	/** Makes the workspace; refused when it exists or has been deleted. */
	createWorkspace(ws: string, name: string): Promise<Result<{ workspace: WorkspaceView }>>;
	workspace(): Promise<WorkspaceView | null>;
	renameWorkspace(name: string, actor: Actor): Promise<Result<{ workspace: WorkspaceView }>>;
	setLimits(limits: WorkspaceLimits, actor: Actor): Promise<Result<{ workspace: WorkspaceView }>>;
	/** Starts the deletion of everything; answers the accounts that were members. Goes on by alarm. */
	deleteWorkspace(): Promise<Result<{ members: string[] }>>;
	/** Looks up whom a verified token was made for, as it is now. */
	principalOf(ws: string, caller: TokenCaller): Promise<Result<{ principal: Principal }>>;

	listKeys(): Promise<KeyView[]>;
	getKey(id: string): Promise<KeyView | null>;
	createKey(input: KeyInput, by: By): Promise<Result<{ key: KeyView; text: string }>>;
	updateKey(id: string, change: Partial<KeyInput>, by: By): Promise<Result<{ key: KeyView }>>;
	rotateKey(id: string, graceMs: number, by: By): Promise<Result<{ key: KeyView; text: string }>>;
	revokeKey(id: string, actor: Actor): Promise<Result<{ key: KeyView }>>;

	listMembers(): Promise<MemberView[]>;
	setRole(accountId: string, role: Role, by: By): Promise<Result<{ member: MemberView }>>;
	removeMember(accountId: string, by: By): Promise<Result<{ member: MemberView }>>;
	/** The owner becomes an admin, the other member the owner. */
	transferOwnership(accountId: string, actor: Actor): Promise<Result<{ member: MemberView; before: string[] }>>;

	invite(input: { role: Role; email: string | null }, by: By): Promise<Result<{ invitation: InvitationView; token: string }>>;
	/** A link for the first owner; refused when there is one. A new link ends the ones before. */
	ownerLink(actor: Actor): Promise<Result<{ invitation: InvitationView; token: string }>>;
	listInvitations(): Promise<InvitationView[]>;
	revokeInvitation(id: string, actor: Actor): Promise<Result<{ invitation: InvitationView }>>;
	/** What a link stands for, without using it. */
	peekInvitation(id: string, tokenHash: string): Promise<Result<{ invitation: InvitationView; workspace: WorkspaceView }>>;
	acceptInvitation(
		id: string,
		tokenHash: string,
		account: { id: string; email: string; name: string },
	): Promise<Result<{ member: MemberView; workspace: WorkspaceView }>>;
}

export interface AssetRow {
	id: string;
	sha256: string;
	bytes: number;
	contentType: string;
	width: number;
	height: number;
	createdAt: number;
	expiresAt: number;
}

export interface Page<T> {
	data: T[];
	nextCursor: string | null;
}

/** What of the ledger is asked for. Times are milliseconds since the epoch. */
export interface AuditFilter {
	type?: AuditEvent['type'];
	who?: string;
	/** Exact, or a prefix when it ends in `.*`. */
	action?: string;
	target?: string;
	from?: number;
	/** Exclusive. */
	to?: number;
}

/** Something that happened, sealed in the ledger or still open. */
export interface AuditEvent {
	/** `<seq>.<index>` in the ledger, `<job>.<rev>` for a line of a job's history. */
	id: string;
	at: number;
	type: LedgerEntry['type'] | 'history';
	who: string;
	action: string;
	target: string;
	detail: Record<string, unknown>;
	/** The ledger does not vouch for it yet. */
	unsealed: boolean;
	seq?: number;
	hash?: string;
	traceId?: string;
}
export type AuditPage = Page<AuditEvent>;

/** Consecutive rows of the ledger, and the head of the chain at that moment. */
export interface LedgerSlice {
	head: { seq: number; hash: string };
	rows: { row: LedgerRow; histories: { job: string; hist: HistEntry[] }[] }[];
}

/** A job as its row, with the key that submitted it. */
export interface BackupJob {
	keyId: string;
	row: JobRow;
}
export interface BackupSlice {
	jobs: BackupJob[];
	/** Where to go on. */
	next: string | null;
}
export interface RestoreBatch {
	rows: LedgerRow[];
	jobs: BackupJob[];
}

/** What was done in a workspace since a time. */
export interface WorkspaceActivity {
	succeeded: number;
	failed: number;
	canceled: number;
	expired: number;
	/** Pictures that the ended jobs asked for, and those that were made. */
	tasks: number;
	tasksDone: number;
	/** Pictures that failed or expired jobs did not get. */
	tasksFailed: number;
	/** First grants of the ended jobs, and the milliseconds that they waited for them in all. */
	assigned: number;
	assignmentMs: number;
	/** Ended jobs that changed hands, and those of them that succeeded. */
	handoffs: number;
	handoffsOk: number;
}

/** How a workspace does, for alerts. */
export interface WorkspaceHealth {
	/** Open jobs, oldest first. */
	open: { id: string; createdAt: number }[];
	/** Jobs settled since the asked time, and those of them that failed. */
	settled: number;
	failed: number;
	/** Jobs of them that were given up as poison. */
	poison: string[];
	quotas: { name: string; used: number; limit: number }[];
	/** It holds the key that the gateway was started with: its members run the gateway. */
	operator: boolean;
}

/** The parts of a backup that the Workspace keeps; webhooks and rules of alerts are Delivery's. */
export type WorkspacePart = Exclude<BackupPart, { kind: 'webhook' | 'alert-rules' }>;

/** A picture that may not be shown again. */
export interface Takedown {
	jobId: string;
	index: number;
	at: number;
	who: string;
	reason: string;
}

export interface WorkspaceRpc extends TenancyRpc, ResourcesRpc, RepliesRpc {
	/** Looks the key up by its SHA-256 (hex over the whole key text). Takes the bootstrap key the first time. */
	authenticate(ws: string, keyId: string, keyHash: string): Promise<Result<{ principal: Principal }>>;
	submit(ws: string, input: SubmitInput): Promise<Result<SubmitOutput>>;
	/** All jobs of a graph or none. */
	submitWorkflow(ws: string, input: WorkflowSubmitInput): Promise<Result<WorkflowSubmitOutput>>;
	/** Rows of these jobs, in this order; unknown ones are left out. */
	getJobs(jobIds: string[]): Promise<JobRow[]>;
	getJob(jobId: string): Promise<JobRow | null>;
	listJobs(query: { limit: number; cursor?: string; state?: JobState | 'open' }): Promise<Page<JobRow>>;
	/** Finished pictures, newest job first. The cursor is `<jobId>:<index>`. */
	listImages(query: { limit: number; cursor?: string }): Promise<Page<{ job: JobRow; image: ImageRecord }>>;
	/** Applies each settlement iff its job is open. */
	settleBatch(batch: Settlement[]): Promise<{ jobId: string; outcome: 'settled' | 'already' | 'unknown' }[]>;
	/** What the row says about one picture: for a Pool that has forgotten the job. */
	resultKey(jobId: string, index: number): Promise<{ state: JobState | 'unknown'; key?: string }>;
	/** Forgets pictures (all of the job, or one); answers the R2 keys to delete. Refused while the job is open. */
	purgeImages(jobId: string, index?: number): Promise<Result<{ keys: string[] }>>;
	/** Removes a picture of an ended job for good, and notes why it is gone. Refused while the job is open. */
	takeDown(jobId: string, index: number, by: { who: string; reason: string; traceId: string }): Promise<Result<{ removed: number }>>;
	/** Why a picture was taken down; `null` when it was not. */
	takedownOf(jobId: string, index: number): Promise<Takedown | null>;
	createAsset(asset: AssetRow): Promise<void>;
	getAsset(assetId: string): Promise<AssetRow | null>;
	/** Shard that gets all jobs of the workspace, for ever; `null` when the workspace does not exist. */
	homeShard(): Promise<number | null>;
	/** Sealed events, newest first. */
	audit(query: AuditFilter & { limit: number; cursor?: string }): Promise<AuditPage>;
	/** History of a settled job, as events. */
	settledHistory(jobId: string): Promise<AuditEvent[]>;
	/** Rows after `after`, oldest first. */
	ledgerSlice(after: number, limit: number): Promise<LedgerSlice>;
	/** Appends what somebody did; an action whose id stands in the last rows is not written twice. */
	recordAction(action: Omit<LedgerAction, 'type'>): Promise<void>;
	/** From now on the Delivery object is told when the ledger grows; answers its last row's number. */
	watchLedger(): Promise<number>;
	/** What was settled since a time (milliseconds since the epoch), and what is open. */
	health(sinceMs: number): Promise<WorkspaceHealth>;
	/** Whether it holds the key that the gateway was started with. */
	runsGateway(): Promise<boolean>;
	/** Ended jobs after an id, oldest first. */
	backupSlice(after: string, limit: number): Promise<BackupSlice>;
	beginRestore(): Promise<Result<{ dropped: number }>>;
	restoreBatch(batch: RestoreBatch): Promise<Result<object>>;
	finishRestore(head: { seq: number; hash: string }): Promise<Result<object>>;
	isRestoring(): Promise<boolean>;
	/** What the workspace is besides ledger, ended jobs and pictures. */
	backupParts(secretId: string): Promise<BackupPart[]>;
	/** @param trusted the operator restores: limits, usage, reservations and open jobs come back too */
	restoreParts(parts: WorkspacePart[], trusted: boolean): Promise<Result<{ left: string[] }>>;
	/** What ended since a time (milliseconds since the epoch). */
	activity(sinceMs: number): Promise<WorkspaceActivity>;
	/** Rows of jobs that are not settled, oldest first. */
	openJobs(): Promise<JobRow[]>;
	usage(): Promise<{ images: number; megapixelSteps: number; openJobs: number; settledJobs: number }>;
	/** Rows written since the object was created, by table: read by tests of the row budget. */
	rowsWritten(): Promise<Record<string, number>>;
}

/** A dependency as the Workspace knows it. The Pool knows better of one that lives there. */
export interface KnownDependency {
	id: string;
	/** Anything but an end means: not over, as far as the Workspace knows. */
	state: JobState;
	/** Pictures that a dependent may start from. */
	images: { index: number; key: string }[];
}

/** A job as handed to its home shard. */
export interface PoolJob {
	deps?: KnownDependency[];
	id: string;
	ws: string;
	weight: number;
	spec: JobSpec;
	createdAt: number;
	warnings: string[];
	keyId: string;
	traceId?: string;
	retryOf?: string;
}

/** What the Pool knows of a live job. */
export interface LiveJob {
	id: string;
	state: JobState;
	tasks: TaskView[];
	images: ImageRecord[];
	hist: HistEntry[];
	warnings: string[];
	queue?: QueueView;
	error?: JobError;
	startedAt?: number;
	finishedAt?: number;
}

export interface CompleteInput {
	ws: string;
	jobId: string;
	index: number;
	epoch: number;
	nodeId: string;
	image: ImageRecord;
}
/**
 * accepted = this key is the result (also for every repeat of it); stale = another attempt owns the task: delete only
 * the key just written; gone = the job is known nowhere; retry = try again later.
 */
export type CompleteOutcome = 'accepted' | 'stale' | 'gone' | 'retry';

/** A JSON report instead of a picture. `complete` for it is idempotent by key, as for pictures. */
export interface ReportRecord {
	index: number;
	/** Names epoch and bytes, like the key of a picture; nothing is stored under it. */
	key: string;
	epoch: number;
	nodeId: string;
	sha256: string;
	at: number;
	data: Record<string, unknown>;
}
export interface ReportInput {
	ws: string;
	jobId: string;
	index: number;
	epoch: number;
	nodeId: string;
	report: ReportRecord;
}

/** What was seen of a kind of work, on one node or over all of them. */
export interface WorkHistory {
	taskType: TaskType;
	model: string;
	succeeded: number;
	failed: number;
	/** Holders that vanished with it. */
	lost: number;
	/** succeeded / all; absent before the first. */
	successRate?: number;
	/** Averages in which newer ones weigh more. */
	sPerMpStep?: number;
	/** Seconds a step at the size that was asked for. */
	sPerStep?: number;
	loadMs?: number;
	/** From being ready to being granted. */
	assignmentLatencyMs?: number;
	lastAt: number;
}

export interface SlotHistory {
	slotId: string;
	succeeded: number;
	failed: number;
	lost: number;
	lastError?: { at: number; class: FailureClass; message: string; jobId: string };
}

/** A model as the shard's nodes have served it. */
export interface ModelHistory extends WorkHistory {
	nodes: number;
	lastErrors: { at: number; class: FailureClass; message: string; jobId: string; nodeId: string }[];
}

/** The pool as one workspace sees it: slots of its own nodes and of shared ones. */
export interface PoolOverview {
	/** `ready` after initialise, `shut` after shutdown, `open` when nobody has said either. */
	state: 'open' | 'ready' | 'shut';
	/** Slots that were asked for. */
	size: number | null;
	limits: { defaultPoolSize: number; maxPoolSize: number; maxQueueDepth: number; maxRetries: number };
	nodes: number;
	slots: { total: number; idle: number; running: number; paused: number; terminated: number };
	tasks: { waiting: number; queued: number; running: number };
	/** Why tasks that need the model source wait; absent while it can be reached. */
	modelSource?: { reason: string; since: number; retryAt: number };
}

/** One task of an open job, for lists of the coordination pool. */
export interface PoolTaskView extends TaskView {
	jobId: string;
	ws: string;
	taskType: TaskType;
	model: string;
	priority: number;
	createdAt: number;
}

/** What may be asked of a pool by its operator. Nodes are found by owner: somebody else's do not exist. */
export interface PoolOperationsRpc {
	/** Wanted number of slots of a node, 1 to 16; kept, so that a node that comes back is told again. */
	resize(ws: string, nodeId: string, slots: number): Promise<Result<{ node: NodeView }>>;
	/** Sends an idle node to another shard. Refused while it has work. */
	move(ws: string, nodeId: string, shard: number): Promise<Result<{ node: NodeView }>>;
	/** Spreads `size` slots over the workspace's connected nodes and wakes those that a shutdown paused. */
	initialize(ws: string, size: number, who: string): Promise<Result<{ pool: PoolOverview; nodes: NodeView[] }>>;
	/** Pauses all nodes of the workspace; with `now` what runs goes back to the queue. */
	shutdown(ws: string, now: boolean, who: string): Promise<Result<{ pool: PoolOverview; nodes: NodeView[] }>>;
	/** Fails what a slot (`<nodeId>/<slotId>`) works on: the task is tried elsewhere. */
	failAgent(ws: string, agentId: string, reason: string, who: string): Promise<Result<{ node: NodeView; task?: PoolTaskView }>>;
	overview(ws: string): Promise<PoolOverview>;
	/** What the last tasks of the workspace, and those on its nodes, used. */
	isolation(ws: string): Promise<IsolationRecord[]>;
	/** Tasks of the workspace's open jobs, oldest job first. The cursor is `<jobId>/<index>`. */
	tasks(ws: string, query: { limit: number; cursor?: string; taskType?: TaskType }): Promise<Page<PoolTaskView>>;
	/** What the shard's nodes have done, by kind of work and model. Includes shared nodes, without naming them. */
	modelHistory(ws: string): Promise<ModelHistory[]>;
}

export interface SlotView {
	/** `<nodeId>/<slotId>` */
	id: string;
	nodeId: string;
	slotId: string;
	state: 'IDLE' | 'RUNNING' | 'PAUSED' | 'TERMINATED' | 'COMPLETED' | 'FAILED';
	device: string;
	engine: string;
	loadedModel?: string;
	task?: { jobId: string; index: number; epoch: number; phase: string; step: number; steps: number };
}

export interface NodeView {
	id: string;
	name: string;
	ws: string;
	/** Of the join token that it enrolled with. */
	labels: string[];
	/** Readings that it sent, newest last. */
	telemetry: TelemetrySample[];
	trust: 'own' | 'shared';
	mode: NodeMode;
	modeReason?: string;
	link: 'pending' | 'online' | 'suspect' | 'offline';
	lastSeenAt: number | null;
	connectedAt: number | null;
	agentVersion: string;
	platform: string;
	models: ModelInfo[];
	slots: SlotView[];
	completed: number;
	failed: number;
	/** What it does besides pictures. */
	taskTypes: TaskType[];
	/** Number of slots that its owner asked for; absent when nobody did. */
	wantedSlots?: number;
	history: { work: WorkHistory[]; slots: SlotHistory[] };
	/** Why it gets no work now, in words; absent while it works. */
	idleReason?: string;
	recentErrors: { at: number; class: FailureClass; message: string; jobId: string }[];
}

export interface PoolMetrics {
	queued: number;
	running: number;
	nodesOnline: number;
	slots: number;
	slotsBusy: number;
	watchers: number;
	granted: number;
	completed: number;
	failed: number;
	requeued: number;
	staleResults: number;
	unknownFrames: number;
	badFrames: number;
	/** Jobs that wait for other jobs. */
	waiting: number;
	/** Dependencies that were decided, and those of them that brought what was waited for. */
	handoffs: number;
	handoffsMet: number;
	prefetches: number;
	/** Times the object ran code because of a frame, a call or an alarm. */
	wakeups: { frame: number; call: number; alarm: number; construct: number };
	rowsWritten: Record<string, number>;
	dispatchMs: { p50: number; p95: number; count: number };
}

export interface PoolRpc extends PoolOperationsRpc {
	/** Idempotent by job id. Refused with `retry_later` after `notAfter` (milliseconds since the epoch). */
	enqueue(job: PoolJob, notAfter: number): Promise<Result<{ queue: QueueView }>>;
	/** The first Pool turn wins against a result. An unknown job becomes a terminal row, so a late enqueue is a no-op. */
	cancel(ws: string, jobId: string, who: string, subtree?: boolean): Promise<Result<{ state: JobState }>>;
	/** Changes the priority of a job of which something waits; `conflict` when nothing does. Answers the one before. */
	prioritize(ws: string, jobId: string, priority: number, who: string): Promise<Result<{ before: number }>>;
	/** Hands over a graph in one commit; idempotent like `enqueue`. */
	enqueueAll(jobs: PoolJob[], notAfter: number): Promise<Result<object>>;
	/** Which of these jobs this shard knows. */
	known(jobIds: string[]): Promise<string[]>;
	view(ws: string, jobId: string): Promise<LiveJob | null>;
	views(ws: string, jobIds: string[]): Promise<LiveJob[]>;
	complete(input: CompleteInput): Promise<CompleteOutcome>;
	/** As `complete`, for a task whose result is a report. */
	report(input: ReportInput): Promise<CompleteOutcome>;
	/** An upload was refused for its content: the attempt failed with class `engine`. A no-op when it is stale. */
	uploadRefused(input: {
		ws: string;
		jobId: string;
		index: number;
		epoch: number;
		nodeId: string;
		reason: string;
		/** The node did nothing wrong, and no other node would do better: the task is not tried again. */
		final?: true;
	}): Promise<void>;
	models(ws: string): Promise<(ModelInfo & { nodes: number })[]>;
	nodes(ws: string): Promise<NodeView[]>;
	/** With `now`, what the node works on goes back to the queue at once. */
	setMode(ws: string, nodeId: string, mode: NodeMode, reason: string, now?: boolean): Promise<Result<{ node: NodeView }>>;
	metrics(): Promise<PoolMetrics>;
}
/*
 * Pool.fetch, WebSocket upgrades only, internal headers set by the Worker (never taken from a caller):
 *   GET /node    X-Limner-Certificate: JSON of the verified NodeCertificate
 *   GET /watch?job=<id>&after=<rev>&ws=<ws>   → BridgeFrames as text; 404 when the shard does not know the job.
 *                Replay after `after` + snapshot in one synchronous turn; closed with 1000 after the terminal event.
 */

export interface JoinTokenView {
	/** Given to the nodes that enrol with it. */
	labels: string[];
	/** Its nodes get no work before an operator has approved them. */
	approval: boolean;
	id: string;
	ws: string;
	trust: 'own' | 'shared';
	createdAt: number;
	expiresAt: number;
	maxUses: number;
	uses: number;
	revoked: boolean;
}

export interface WorkspaceEntry {
	id: string;
	createdAt: number;
	deletedAt: number | null;
}

/** Who a node is, as the Registry says; what a certificate is made of. */
export interface NodeIdentity {
	nodeId: string;
	ws: string;
	trust: 'own' | 'shared';
	shard: number;
	name: string;
	labels: string[];
	pending: boolean;
	keyVersion: number;
}

export const REPORT_REASONS = ['illegal', 'sexual', 'minors', 'violence', 'hate', 'person', 'copyright', 'other'] as const;
export type ReportReason = (typeof REPORT_REASONS)[number];
export const REPORT_STATES = ['open', 'taken-down', 'dismissed'] as const;
export type ReportState = (typeof REPORT_STATES)[number];

/** Somebody says that a picture should not be there. */
export interface ReportView {
	id: string;
	ws: string;
	imageId: string;
	reason: ReportReason;
	detail: string;
	who: string;
	createdAt: number;
	state: ReportState;
	decidedAt: number | null;
	decidedBy: string | null;
	note: string;
}

export interface ReportQuery {
	/** Absent = of all workspaces. */
	ws?: string;
	state?: ReportState;
	limit: number;
	cursor?: string;
}

/** Reports of pictures of all workspaces of a region. */
export interface ReportsRpc {
	/** A second report of the same picture by the same caller is the first one, while that is open. */
	addReport(input: Pick<ReportView, 'ws' | 'imageId' | 'reason' | 'detail' | 'who'>): Promise<Result<{ report: ReportView }>>;
	/** Newest first. */
	listReports(query: ReportQuery): Promise<Page<ReportView>>;
	/** @param ws whose report it must be; `null` for an operator */
	dismissReport(id: string, ws: string | null, by: { who: string; note: string }): Promise<Result<{ report: ReportView }>>;
	/** Closes the open reports of a picture that was taken down; answers how many. */
	closeReports(ws: string, imageId: string, by: { who: string; note: string }): Promise<number>;
}

export interface RegistryRpc extends ReportsRpc {
	/** Lets a node work whose join token asked for approval. */
	approveNode(ws: string, nodeId: string): Promise<Result<{ shard: number }>>;
	/** Neither the node nor its key can enrol or renew again. */
	banNode(ws: string, nodeId: string, reason: string): Promise<Result<{ shard: number }>>;
	/** Puts a new key in the place of the one that signed the request. */
	rotateNodeKey(input: { nodeId: string; publicKey: string; newPublicKey: string }): Promise<Result<NodeIdentity>>;
	shards(): Promise<number>;
	/** Notes that a workspace exists; false when its id was taken before, also by one that has been deleted. */
	addWorkspace(id: string): Promise<boolean>;
	listWorkspaces(query: { limit: number; cursor?: string }): Promise<Page<WorkspaceEntry>>;
	/** Marks a workspace as deleted, and revokes its join tokens and forgets its nodes. */
	dropWorkspace(id: string): Promise<void>;
	createJoinToken(input: {
		ws: string;
		trust: 'own' | 'shared';
		ttlMs: number;
		maxUses: number;
		labels?: string[];
		approval?: boolean;
	}): Promise<{ token: string; view: JoinTokenView }>;
	listJoinTokens(ws: string): Promise<JoinTokenView[]>;
	revokeJoinToken(ws: string, id: string): Promise<Result<{ view: JoinTokenView }>>;
	/** Checks the token, counts a use, answers the node's identity. The same public key gets the same node id again. */
	enrol(input: { token: string; publicKey: string; name: string }): Promise<Result<NodeIdentity>>;
	/** Renews without a token, for a node that still holds a valid certificate. */
	renew(input: { nodeId: string; publicKey: string }): Promise<Result<NodeIdentity>>;
}
