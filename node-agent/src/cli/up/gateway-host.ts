/**
 * Process that runs the gateway's bundle in workerd through Miniflare with the bindings of wrangler.toml. Forked by
 * `limner up`; it lives in a process group of its own, because a Ctrl-C in the terminal would otherwise stop workerd
 * before the node has handed back its task. It ends when its parent asks or is gone.
 * @module
 */
import { createWriteStream, readdirSync, readFileSync, type WriteStream } from 'node:fs';
import { dirname, join } from 'node:path';
import { Miniflare, convertV4MiniflareOptions } from 'miniflare';
import { unstable_getMiniflareWorkerOptions } from 'wrangler';
import type { GatewayHostMessage, GatewayHostOptions } from './gateway.ts';
import { startRelay } from './relay.ts';
import { outboundHandler } from './outbound.ts';

const HEALTH_MS = 1000;
const HEALTH_MISSES = 3;

/** Every line in the log is a JSON object with a traceId, also what the runtime itself says. */
const logLine = (log: WriteStream, level: string, message: string): void => {
	const text = message.trimEnd();
	log.write(
		text.startsWith('{') && text.endsWith('}')
			? `${text}\n`
			: `${JSON.stringify({ level, msg: text, traceId: 'runtime', at: new Date().toISOString() })}\n`,
	);
};

/** WebAssembly that the bundle imports; workerd compiles nothing at run time. */
const wasmBeside = (bundleFile: string): { type: 'CompiledWasm'; path: string; contents: Buffer }[] => {
	const folder = dirname(bundleFile);
	return readdirSync(folder)
		.filter((name) => name.endsWith('.wasm'))
		.map((name) => ({ type: 'CompiledWasm', path: name, contents: readFileSync(join(folder, name)) }));
};

const makeMiniflare = (options: GatewayHostOptions, log: WriteStream): Miniflare => {
	const workerOptions: object = unstable_getMiniflareWorkerOptions(options.configFile).workerOptions;
	// The bundle is one ES module and the WebAssembly beside it; the rules describe source files that it no longer needs.
	const { modulesRules: _rules, bindings, ...worker } = workerOptions as { modulesRules?: unknown; bindings?: object };
	return new Miniflare(
		convertV4MiniflareOptions({
			...worker,
			// Callers come through the relay.
			host: '127.0.0.1',
			port: 0,
			cf: false,
			outboundService: outboundHandler(options.bindings['WEBHOOK_ALLOW_PRIVATE'] === 'true', options.bindings['S3_ENDPOINT']),
			bindings: { ...bindings, ...options.bindings },
			modules: [
				{ type: 'ESModule', path: 'index.js', contents: readFileSync(options.bundleFile, 'utf8') },
				...wasmBeside(options.bundleFile),
			],
			modulesRoot: '.',
			resourcePersistencePath: options.persistDir,
			telemetry: { enabled: false },
			handleStructuredLogs: ({ level, message }: { level: string; message: string }) => logLine(log, level, message),
		}),
	);
};

const send = (message: GatewayHostMessage): void => {
	process.send?.(message);
};

/** workerd dies without a word when it is killed: ask it, and leave when it stays silent, so that `up` starts a new host. */
const watchHealth = (url: string): void => {
	let misses = 0;
	setInterval(() => {
		fetch(`${url}/health`, { signal: AbortSignal.timeout(HEALTH_MS * 5) })
			.then((response) => response.arrayBuffer())
			.then(
				() => (misses = 0),
				() => {
					if (++misses >= HEALTH_MISSES) process.exit(75);
				},
			);
	}, HEALTH_MS);
};

/** An address under which this machine reaches a host that it listens on. */
const reachableHost = (host: string): string => {
	if (host === '0.0.0.0') return '127.0.0.1';
	if (host === '::') return '[::1]';
	return host.includes(':') ? `[${host}]` : host;
};

const main = async (options: GatewayHostOptions): Promise<void> => {
	const log = createWriteStream(options.logFile, { flags: 'a', mode: 0o600 });
	// A full disk costs lines of the log, not the gateway.
	log.on('error', () => undefined);
	const miniflare = makeMiniflare(options, log);
	const stop = (): void => {
		void miniflare.dispose().finally(() => process.exit(0));
	};
	process.on('SIGTERM', stop);
	process.on('SIGINT', () => {});
	process.on('disconnect', stop);
	// The parent may have gone while this process was still loading: nobody would ever end it.
	if (!process.connected) stop();
	process.on('message', (message) => {
		if (message === 'stop') stop();
	});
	try {
		const inner = await miniflare.ready;
		const { host } = options;
		const relay = await startRelay({ host, port: options.port, target: { host: '127.0.0.1', port: Number(inner.port) } });
		send({ type: 'ready', url: `http://${reachableHost(host)}:${relay.port}` });
		watchHealth(inner.origin);
	} catch (error) {
		send({ type: 'error', message: error instanceof Error ? error.message : String(error) });
		process.exit(1);
	}
};

await main(JSON.parse(process.env['LIMNER_GATEWAY_HOST'] ?? '{}') as GatewayHostOptions);
