/**
 * The door of the local gateway: passes bytes between callers and workerd, and tells workerd when a caller has hung up.
 *
 * workerd takes a closed connection for a half-closed one (a FIN) until it writes to it, so a request that waits for its
 * answer would never see `request.signal` fire, and the engine would go on for nobody. A reset it notices at once. The
 * relay turns the one into the other. On Cloudflare the edge does this.
 * @module
 */
import { createHash } from 'node:crypto';
import { connect, createServer, isIP, type AddressInfo, type Server, type Socket } from 'node:net';

export interface RelayOptions {
	host: string;
	/** 0 = any free port. */
	port: number;
	/** Where workerd listens, on this machine. */
	target: { host: string; port: number };
}

export interface Relay {
	port: number;
	/** Connections that are open now. */
	connections: () => number;
	close: () => void;
}

const isLoopback = (address: string): boolean => address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.');

/**
 * A loopback address that stands for a caller's: workerd sees it instead of the caller's own, and limits by address
 * still tell callers apart. The same caller always gets the same one.
 */
export const standInAddress = (address: string): string => {
	if (isIP(address) === 0 || isLoopback(address)) return '127.0.0.1';
	const [a = 0, b = 0, c = 0] = createHash('sha256').update(address).digest();
	// Never 127.0.0.x: callers on this machine keep that range. Never .0 or .255 at the end.
	return `127.${1 + (a % 255)}.${b}.${1 + (c % 254)}`;
};

const join = (caller: Socket, inner: Socket): void => {
	caller.setNoDelay(true);
	inner.setNoDelay(true);
	caller.pipe(inner, { end: false });
	inner.pipe(caller);
	// Behind what the caller has sent before, which workerd has still to read when it is no wait that ends.
	caller.on('end', () => setImmediate(() => inner.resetAndDestroy()));
	caller.on('error', () => inner.resetAndDestroy());
	caller.on('close', () => inner.resetAndDestroy());
	inner.on('error', () => caller.resetAndDestroy());
	inner.on('close', () => caller.destroySoon());
};

const open = (caller: Socket, { target }: RelayOptions): void => {
	const localAddress = standInAddress(caller.remoteAddress ?? '');
	const plain = (): Socket => connect({ host: target.host, port: target.port });
	if (localAddress === '127.0.0.1' || target.host !== '127.0.0.1') return join(caller, plain());
	caller.pause();
	const inner = connect({ host: target.host, port: target.port, localAddress });
	const refused = (): void => join(caller, plain());
	// Some systems have no loopback address but 127.0.0.1.
	inner.once('error', refused);
	inner.once('connect', () => {
		inner.off('error', refused);
		join(caller, inner);
	});
	return undefined;
};

const listen = (server: Server, host: string, port: number): Promise<void> =>
	new Promise((resolve, reject) => {
		server.once('error', reject);
		server.listen(port, host, () => {
			server.off('error', reject);
			resolve();
		});
	});

/**
 * Starts the relay.
 * @throws what `listen` throws, such as EADDRINUSE
 */
export const startRelay = async (options: RelayOptions): Promise<Relay> => {
	const callers = new Set<Socket>();
	const server = createServer({ allowHalfOpen: true }, (caller) => {
		callers.add(caller);
		caller.on('close', () => callers.delete(caller));
		open(caller, options);
	});
	await listen(server, options.host, options.port);
	// A caller that goes in the very moment of its accept is its own trouble.
	server.on('error', () => undefined);
	return {
		port: (server.address() as AddressInfo).port,
		connections: () => callers.size,
		close: () => {
			server.close();
			for (const caller of callers) caller.destroy();
		},
	};
};
