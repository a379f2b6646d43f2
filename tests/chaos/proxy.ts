/**
 * The road between one node and the gateway: forwards HTTP and the WebSocket, and can cut, stall or spoil them.
 * @module
 */
import { createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

export class Proxy {
	readonly #target: URL;
	readonly #server: Server;
	/** Both ends of each WebSocket. */
	readonly #pairs = new Set<[Duplex, Socket]>();
	#badUploads = 0;
	#how: 'refuse' | 'swallow' = 'refuse';
	#stalled = false;
	/** What was done, for the report. */
	readonly counts = { sockets: 0, dropped: 0, spoiled: 0 };

	private constructor(target: string) {
		this.#target = new URL(target);
		this.#server = createServer((request, response) => this.#forward(request, response));
		this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
	}

	static async start(target: string, host: string): Promise<Proxy> {
		const proxy = new Proxy(target);
		await new Promise<void>((resolve, reject) => {
			proxy.#server.once('error', reject);
			proxy.#server.listen(0, host, resolve);
		});
		return proxy;
	}

	get url(): string {
		const { address, port } = this.#server.address() as AddressInfo;
		return `http://${address}:${port}`;
	}

	#forward(request: IncomingMessage, response: ServerResponse): void {
		const spoil = this.#badUploads > 0 && request.method === 'PUT' && (request.url ?? '').startsWith('/api/v1/results/');
		if (spoil) {
			this.#badUploads--;
			this.counts.spoiled++;
		}
		const fail = (status: number): void => {
			if (response.headersSent) response.destroy();
			else response.writeHead(status, { 'content-type': 'text/plain' }).end('broken on the way');
		};
		if (this.#stalled) return;
		if (spoil && this.#how === 'refuse') {
			request.resume();
			request.on('end', () => fail(500));
			return;
		}
		const { hostname, port } = this.#target;
		const up = httpRequest(
			{ hostname, port, method: request.method, path: request.url, headers: request.headers, agent: false },
			(answer) => {
				if (this.#stalled) return;
				if (spoil) {
					answer.resume();
					fail(500);
					return;
				}
				response.writeHead(answer.statusCode ?? 502, answer.headers);
				answer.pipe(response);
			},
		);
		up.on('error', () => fail(502));
		request.on('error', () => up.destroy());
		request.pipe(up);
	}

	#upgrade(request: IncomingMessage, node: Duplex, head: Buffer): void {
		const gateway = connect(Number(this.#target.port), this.#target.hostname);
		const pair: [Duplex, Socket] = [node, gateway];
		this.#pairs.add(pair);
		const end = (): void => {
			this.#pairs.delete(pair);
			node.destroy();
			gateway.destroy();
		};
		for (const side of pair) side.on('error', end).on('close', end);
		gateway.on('connect', () => {
			this.counts.sockets++;
			const headers = request.rawHeaders.flatMap((name, place) => (place % 2 === 0 ? [`${name}: ${request.rawHeaders[place + 1]}`] : []));
			gateway.write(`${request.method} ${request.url} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`);
			gateway.write(head);
			node.pipe(gateway);
			gateway.pipe(node);
			if (this.#stalled) this.#stall(pair);
		});
	}

	#stall([node, gateway]: [Duplex, Socket]): void {
		node.unpipe(gateway);
		gateway.unpipe(node);
		node.pause();
		gateway.pause();
	}

	/** Number of open WebSockets. */
	get sockets(): number {
		return this.#pairs.size;
	}

	/** Ends all WebSockets of this node, now. */
	drop(reset: boolean): number {
		const dropped = this.#pairs.size;
		for (const [node, gateway] of this.#pairs) {
			if (reset) {
				(node as Socket).resetAndDestroy();
				gateway.resetAndDestroy();
			} else {
				node.end();
				gateway.end();
			}
		}
		this.counts.dropped += dropped;
		return dropped;
	}

	/** Forwards nothing and closes nothing: a link that is dead on the way. What is under way then never goes on. */
	stall(on: boolean): void {
		this.#stalled = on;
		if (on) {
			for (const pair of this.#pairs) this.#stall(pair);
			return;
		}
		// Both ends have given the stalled connections up, or learn it now.
		this.drop(true);
	}

	/** Spoils the next uploads. */
	spoil(uploads: number, how: 'refuse' | 'swallow'): void {
		this.#badUploads = uploads;
		this.#how = how;
	}

	heal(): void {
		this.#badUploads = 0;
		if (this.#stalled) this.stall(false);
	}

	async stop(): Promise<void> {
		this.drop(true);
		this.#server.closeAllConnections();
		await new Promise((resolve) => this.#server.close(resolve));
	}
}
