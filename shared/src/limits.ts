/**
 * Every bound that Limner enforces, in one place. A limit is refused with the problem code named in `errors.ts`
 * and tested at the bound and one past it. Units are in the names.
 * @module
 */

const KIB = 1024;
const MIB = 1024 * KIB;
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Bounds of a generation request. */
export const REQUEST_LIMITS = {
	promptChars: 4000,
	sizeMinPx: 64,
	sizeMaxPx: 2048,
	sizeMultiplePx: 8,
	stepsMin: 1,
	stepsMax: 150,
	guidanceMin: 0,
	guidanceMax: 30,
	strengthMin: 0,
	strengthMax: 1,
	etaMin: 0,
	etaMax: 1,
	guidanceRescaleMin: 0,
	guidanceRescaleMax: 1,
	/** Pixels around the masked area, and of the soft border when it is pasted back. */
	maskPxMin: 0,
	maskPxMax: 512,
	/** Sides and offsets that SDXL is told about the picture it was trained on. */
	conditioningPxMin: 0,
	conditioningPxMax: 16_384,
	/** Quality of JPEG and WebP results. */
	outputQualityMin: 1,
	outputQualityMax: 100,
	outputQualityDefault: 90,
	nMin: 1,
	nMax: 16,
	seedMin: 0,
	/** 2^53 - 1, so that a seed survives JSON. */
	seedMax: Number.MAX_SAFE_INTEGER,
	priorityMin: 0,
	priorityMax: 9,
	priorityDefault: 5,
	labelsMax: 16,
	labelChars: 64,
	modelNameChars: 200,
	waitMaxS: 45,
	deadlineMinMs: 1 * SECOND_MS,
	deadlineMaxMs: DAY_MS,
	/** A job that nobody could run for this long expires. */
	deadlineDefaultMs: 6 * HOUR_MS,
	idempotencyKeyChars: 255,
	idempotencyTtlMs: DAY_MS,
} as const;

/** Bounds of HTTP bodies and of stored bytes. */
export const BODY_LIMITS = {
	jsonBytes: 256 * KIB,
	/** A JSON body with whole pictures in it, as other services' clients send them. */
	pictureJsonBytes: 56 * MIB,
	jsonDepth: 32,
	assetBytes: 20 * MIB,
	assetMaxPx: 4096,
	resultMaxBytes: 16 * MIB,
	resultMetaBytes: 2 * KIB,
	pageMax: 200,
	pageDefault: 50,
} as const;

/** Bounds of the node protocol. */
export const NODE_LIMITS = {
	slotsMax: 16,
	slotsDefault: 1,
	/** Pictures in one grant: as many as a job can have. */
	batchMax: 16,
	/** Pictures at once where nobody says otherwise; more gain little and make everyone wait for the last one. */
	batchDefault: 4,
	frameBytes: 256 * KIB,
	previewBytes: 128 * KIB,
	modelsMax: 256,
	nameChars: 64,
	attachmentBytes: 16 * KIB,
} as const;

/** Downloads of models from a hub. */
export const PULL_LIMITS = {
	connectionsMax: 16,
	connectionsDefault: 4,
	/** Files above this size are fetched in pieces of it, several at a time. */
	pieceBytes: 64 * MIB,
	/** Room that must be left on the disk after a download. */
	freeAfterBytes: 256 * MIB,
	/** A connection that brings nothing for this long is given up and resumed. */
	idleMs: 30 * SECOND_MS,
	retryFirstMs: 500,
	retryCapMs: 20 * SECOND_MS,
	/** Tries in a row that bring no byte before a download gives up. */
	fruitlessTries: 6,
	/** Downloads of one file whose hash is wrong. */
	wrongHashTries: 2,
	/** Tries of a question to the hub's API before anything is downloaded. */
	apiTries: 4,
	/** Answers of the hub's API are small texts. */
	apiBytes: 32 * MIB,
	apiPages: 200,
	/** How often the state of a download is written down; a kill loses at most what came since. */
	saveStateMs: 250,
	redirects: 5,
} as const;

/** Bounds of the MCP server. */
export const MCP_LIMITS = {
	/** Hosts give up on a call after 60 s, some without regard to progress. */
	waitMaxS: 45,
	waitDefaultS: 45,
	nMax: 4,
	listMax: 50,
	/** A list as a result, its text and its structured form together: below the 150,000 characters that hosts take. */
	listChars: 120_000,
	workflowJobs: 32,
	urlChars: 4096,
	/** A picture inside a result: with base64 below the 150,000 characters that hosts take. */
	previewBytes: 75 * KIB,
	viewDefaultPx: 512,
	viewMaxPx: 1024,
	/** A picture as a resource; above it a smaller copy is answered. */
	resourceBytes: 4 * MIB,
	/** A request's body; a picture as base64 in it. */
	bodyBytes: 4 * MIB,
	base64Chars: 4_000_000,
	/** Equal calls within this time are one job: hosts repeat calls that they gave up on. */
	repeatWindowMs: 2 * MINUTE_MS,
	keepAliveMs: 10 * SECOND_MS,
	/** Progress is told at each change, and at least this often: some hosts count silence as death. */
	progressEveryMs: 8 * SECOND_MS,
	progressMinMs: 250,
	/** Time that a picture's address on the Web has to answer. */
	fetchMs: 20 * SECOND_MS,
	fetchRedirects: 3,
	/** Pictures that `resources/list` and completions look at. */
	recent: 20,
} as const;

/** How long an isolate repeats its last answer about being ready. */
export const READY_CACHE_MS = SECOND_MS;

/** Certificates of nodes: long enough that a node off for a month comes back by itself. */
export const NODE_CERTIFICATE = { ttlMs: 30 * DAY_MS } as const;

/** Bounds of join tokens. */
export const JOIN_TOKEN_LIMITS = {
	ttlMinMs: MINUTE_MS,
	ttlMaxMs: 30 * DAY_MS,
	ttlDefaultMs: DAY_MS,
	maxUsesMax: 1000,
	labelsMax: 16,
} as const;

/** Webhooks. */
export const DELIVERY_LIMITS = {
	webhooksMax: 20,
	urlChars: 2000,
	eventsMax: 20,
	descriptionChars: 200,
	attemptMs: 10 * SECOND_MS,
	/** A delivery that has not succeeded this long after its first attempt is dead. */
	giveUpMs: DAY_MS,
	retryAfterMaxMs: HOUR_MS,
	/** How long the secret before a rotation goes on signing. */
	secretOverlapMs: DAY_MS,
	/** Ended deliveries are kept for this long. */
	keepMs: 7 * DAY_MS,
	errorChars: 300,
	/** Deliveries of one webhook in one pass, and how long they may take before the next pass. */
	laneDeliveries: 20,
	laneMs: 15 * SECOND_MS,
	/** Webhooks served at a time. */
	lanes: 5,
	/** The ledger is looked at this often even when nobody said that it has grown. */
	pullMs: 5 * MINUTE_MS,
} as const;

/** Alerts. */
export const ALERT_LIMITS = {
	/** How often a workspace is looked at while somebody is to be told. */
	lookMs: MINUTE_MS,
	/** Reads within this time see the last look. */
	freshMs: 5 * SECOND_MS,
	keepMs: 30 * DAY_MS,
	nodeOfflineMs: MINUTE_MS,
	/** A node that has been away for longer is taken for given up. */
	nodeForgottenMs: 7 * DAY_MS,
	errorWindowMs: 15 * MINUTE_MS,
	errorMinJobs: 5,
	errorShare: 0.2,
	errorShareP1: 0.5,
	queueAgeMs: 10 * MINUTE_MS,
	queueAgeP2Ms: HOUR_MS,
	quotaShare: 0.8,
	/** Bounds of what rules may set. */
	ruleMinMs: SECOND_MS,
	ruleMaxMs: 31 * DAY_MS,
} as const;

/** The operator's hooks: content policy and e-mail. */
export const HOOK_LIMITS = {
	timeoutMinMs: 100,
	timeoutMaxMs: 10 * SECOND_MS,
	timeoutDefaultMs: 3 * SECOND_MS,
	/** An answer says allow, flag or refuse, and why. */
	answerBytes: 16 * KIB,
	reasonChars: 200,
	/** Words and patterns of a content policy. */
	rulesMax: 1000,
	ruleChars: 200,
	/** When a policy that does not answer refuses, callers are told to come back after this. */
	retryAfterS: 30,
} as const;

/** Reports of pictures. */
export const REPORT_LIMITS = {
	detailChars: 1000,
	/** Open reports of a workspace; more are refused until somebody has decided. */
	openMax: 1000,
	/** Decided reports are listed for this long. */
	keepMs: 365 * DAY_MS,
} as const;

/** Accounts, sessions and invitations. */
export const ACCOUNT_LIMITS = {
	emailChars: 254,
	nameChars: 80,
	/** NIST 800-63B: length is what counts. */
	passwordMinChars: 10,
	passwordMaxChars: 256,
	accessTokenTtlMs: 10 * MINUTE_MS,
	/** Tokens made from a key may be shorter, never longer. */
	keyTokenTtlMaxMs: HOUR_MS,
	refreshTokenTtlMs: 30 * DAY_MS,
	/** A repeated refresh within this time is a lost answer, not a stolen token. */
	refreshGraceMs: 30 * SECOND_MS,
	sessionsMax: 50,
	membershipsMax: 100,
	membersMax: 500,
	invitationTtlMs: 7 * DAY_MS,
	ownerLinkTtlMs: DAY_MS,
	resetTtlMs: DAY_MS,
	/** Anybody can ask for a mail with a reset link; its owner gets no more than one in this time. */
	resetMailGapMs: 5 * MINUTE_MS,
	invitationsMax: 200,
	/** Failed sign-ins before each further one has to wait. */
	freeFailures: 5,
	throttleFirstMs: 2 * SECOND_MS,
	throttleMaxMs: 15 * MINUTE_MS,
	/** Signing keys of access tokens change this often; the one before still verifies. */
	signingKeyMs: 30 * DAY_MS,
} as const;

/** OAuth for MCP clients. */
export const OAUTH_LIMITS = {
	/** From the sign-in page to the last click. */
	pageTtlMs: 10 * MINUTE_MS,
	/** RFC 6749 asks for at most ten minutes; a client redeems its code at once. */
	codeTtlMs: MINUTE_MS,
	/** Used codes are known for this long, so that a second use ends the session of the first. */
	codeKeepMs: HOUR_MS,
	codesMax: 20,
	clientTtlMs: 5 * 365 * DAY_MS,
	clientNameChars: 100,
	redirectsMax: 16,
	redirectChars: 500,
	/** A client id is an address, or signed metadata. */
	clientIdChars: 8000,
	stateChars: 4000,
	formBytes: 32 * KIB,
	/** The draft asks for a bound of 5 KB; some clients list more addresses than fit. */
	documentBytes: 16 * KIB,
	documentMs: 5 * SECOND_MS,
	documentCacheMs: 5 * MINUTE_MS,
	documentCacheEntries: 200,
} as const;

/** Argon2id parameters (OWASP Password Storage Cheat Sheet: m = 19 MiB, t = 2, p = 1). */
export const ARGON2 = { memoryKib: 19 * KIB, iterations: 2, parallelism: 1, hashBytes: 32, saltBytes: 16 } as const;

/** API keys. */
export const API_KEY_LIMITS = {
	nameChars: 80,
	perWorkspace: 500,
	modelsMax: 64,
	expiryMaxMs: 5 * 366 * DAY_MS,
	rotateGraceMaxS: 86_400,
	/** The last use is written at most this often; in between it is only in memory. */
	lastUsedMs: 10 * MINUTE_MS,
} as const;

/** Quotas and reservations. */
export const QUOTA_LIMITS = {
	amountMax: 1_000_000_000,
	storageMaxBytes: 1024 ** 5,
	retentionMinMs: HOUR_MS,
	/** Pairs of key and model that a day tells apart; what comes after is counted as "other". */
	seriesPairs: 256,
	seriesDaysMax: 400,
	allocationsMax: 100,
	allocationTtlMaxMs: 31 * DAY_MS,
	allocationAheadMaxMs: 31 * DAY_MS,
	allocationTtlDefaultMs: HOUR_MS,
	noteChars: 200,
} as const;

/** Idempotency of routes with awaited effects. */
export const IDEMPOTENCY = {
	/** A request that has not answered after this long has died. */
	inFlightMs: 60 * SECOND_MS,
	/** Larger answers are not kept; the request is refused instead of repeated. */
	replyBytes: 256 * KIB,
} as const;

/** Scheduling and failure constants (design §5). */
export const POOL_LIMITS = {
	defaultPoolSize: 4,
	maxPoolSize: 16,
	maxQueueDepth: 100,
	maxRetries: 3,
	maxLosses: 3,
	/** Each change is a line of the job's history, which has to fit into its row. */
	priorityChangesMax: 100,
	nodeFailuresToDrain: 5,
	nodeFailureWindowMs: 10 * MINUTE_MS,
} as const;

/** Bounds of workflows: jobs that wait for each other. */
export const WORKFLOW_LIMITS = {
	jobsMax: 32,
	dependsOnMax: 16,
	/** Jobs one after another; a job without dependencies has depth 1. */
	depthMax: 8,
	keyChars: 64,
	nameChars: 200,
} as const;

/** Bounds of tasks that are no pictures. */
export const TASK_LIMITS = {
	/** JSON report of a benchmark, pull, probe or move. */
	reportBytes: 64 * KIB,
	repeatMax: 10,
	repeatDefault: 3,
	/** Try again whether the model source can be reached after this long, doubled with each failure. */
	sourceRetryFirstMs: 30 * SECOND_MS,
	sourceRetryCapMs: 10 * MINUTE_MS,
	/** A node is asked to fetch a model ahead of need at most this often for each model. */
	prefetchGapMs: 10 * MINUTE_MS,
	/** Assumed speed of a download when it is weighed against waiting, bytes a second. */
	downloadBytesPerS: 20 * MIB,
} as const;

/** Liveness and timing constants. Protocol times are durations, never absolute. */
export const TIMING = {
	pingMs: 4 * SECOND_MS,
	pingJitter: 0.1,
	candidateSeenMs: 6 * SECOND_MS,
	suspectMs: 11 * SECOND_MS,
	offlineMs: 15 * SECOND_MS,
	ackMs: 3 * SECOND_MS,
	ackExcludeMs: 30 * SECOND_MS,
	helloMs: 5 * SECOND_MS,
	graceClosedMs: 1 * SECOND_MS,
	graceRebuildMs: 10 * SECOND_MS,
	leaseMinMs: 20 * SECOND_MS,
	leaseMaxMs: 20 * MINUTE_MS,
	leaseFactor: 3,
	sweepMs: 5 * MINUTE_MS,
	enqueueNotAfterMs: 60 * SECOND_MS,
	reconcileOpenMs: 60 * SECOND_MS,
	settleBatchMs: 100,
	settleBatchJobs: 64,
	doneKeepMs: 2 * MINUTE_MS,
	ticketTtlMs: DAY_MS,
	/** In which a node may begin to put a picture into the bucket, and again for the PUT itself before the ticket ends. */
	directUploadMs: 15 * MINUTE_MS,
	progressMs: 2 * SECOND_MS,
	watchProgressMs: 250,
	telemetryMs: 30 * SECOND_MS,
	killAfterCancelMs: 2 * SECOND_MS,
	stepTimeoutMinMs: 30 * SECOND_MS,
	stepTimeoutFactor: 10,
	reconnectFirstMs: 1 * SECOND_MS,
	reconnectCapMs: 30 * SECOND_MS,
	reconnectRestartMs: 5 * SECOND_MS,
	sseKeepAliveMs: 10 * SECOND_MS,
	ssePingBridgeMs: 20 * SECOND_MS,
	sseBridgeTries: 5,
	ssePendingBytes: MIB,
	keyCacheMs: 1 * SECOND_MS,
	registryCacheMs: 2 * SECOND_MS,
	imageUrlTtlMs: 1 * HOUR_MS,
	streamTicketTtlMs: 15 * MINUTE_MS,
	resultTtlMs: 30 * DAY_MS,
	assetTtlMs: 1 * DAY_MS,
} as const;

/**
 * Largest accepted result in bytes for a picture of the given size: four bytes a pixel plus PNG filter and chunk
 * overhead, and never more than {@link BODY_LIMITS.resultMaxBytes}.
 * @param width pixels
 * @param height pixels
 */
export const resultMaxBytes = (width: number, height: number): number =>
	Math.min(BODY_LIMITS.resultMaxBytes, Math.floor(4.4 * width * height) + 64 * KIB);

/**
 * Cost of pictures in megapixel-steps, the unit of usage and of fair queueing.
 * @param width pixels
 * @param height pixels
 * @param steps denoising steps
 * @param images number of pictures
 */
export const megapixelSteps = (width: number, height: number, steps: number, images: number): number =>
	Math.round(((width * height * steps * images) / 1_000_000) * 1000) / 1000;
