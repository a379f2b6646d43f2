/**
 * The socket to the gateway: carries out what the reducer decides.
 * @module
 */
import {
	encodePreview,
	parseGatewayFrame,
	PING_TEXT,
	PONG_TEXT,
	SUBPROTOCOL,
	type GatewayFrame,
	type NodeFrame,
	type PreviewHeader,
} from '@limner/shared';
import { WebSocket, type RawData } from 'ws';
import { monotonicMs } from '../lib/clock.ts';
import { messageOf, UserError } from '../lib/user-error.ts';
import { initialLink, linkWakeAt, stepLink, type LinkEffect, type LinkEvent, type LinkState } from './reducer.ts';

export interface LinkOptions {
	/** Base address of the gateway and the node's certificate, read at each connect. */
	credentials: () => { gateway: string; certificate: string };
	/** The signed `hello` for a challenge, with what runs right now. */
	hello: (nonce: string, connId: string) => NodeFrame;
	/** A frame of the current connection, after the welcome and including it. */
	onFrame: (frame: GatewayFrame) => void;
	onState: (state: LinkState) => void;
	/** The link has ended for good; the sentence says why and what to do. */
	onHalt: (sentence: string) => void;
	/** Fetches a fresh certificate. A UserError is final when `isFinal` says so. */
	renew: () => Promise<void>;
	isFinal: (error: unknown) => boolean;
	onNote?: (note: string) => void;
	now?: () => number;
	random?: () => number;
}

const HANDSHAKE_MS = 10_000;
const MAX_FRAME_BYTES = 4 * 1024 * 1024;
/** Previews are dropped while this many bytes wait in the socket: the connection is slower than the pictures. */
const PREVIEW_BACKLOG_BYTES = 256 * 1024;

const connectUrl = (gateway: string): string => `${gateway.replace(/\/+$/, '').replace(/^http/, 'ws')}/api/v1/nodes/connect`;

const textOf = (data: RawData): string => {
	if (Array.isArray(data)) return Buffer.concat(data).toString();
	return Buffer.from(data as Uint8Array).toString();
};

export class Link {
	readonly #options: LinkOptions;
	#state: LinkState = initialLink();
	#socket: WebSocket | undefined;
	#timer: NodeJS.Timeout | undefined;
	/** Frames of types this version does not know. */
	unknownFrames = 0;

	constructor(options: LinkOptions) {
		this.#options = options;
	}

	get state(): LinkState {
		return this.#state;
	}

	get online(): boolean {
		return this.#state.phase === 'online';
	}

	start(): void {
		this.#dispatch({ t: 'start' });
	}

	/** Connects anew with the present credentials. */
	reconnect(): void {
		this.#dispatch({ t: 'reconnect' });
	}

	/** Sends a frame on the current connection. Before the welcome it is dropped: `hello` repeats what counts. */
	send(frame: NodeFrame): boolean {
		if (!this.online || this.#socket?.readyState !== WebSocket.OPEN) return false;
		this.#socket.send(JSON.stringify(frame));
		return true;
	}

	/** Sends a preview unless the connection lags behind. */
	sendPreview(header: PreviewHeader, image: Uint8Array): boolean {
		const socket = this.#socket;
		if (!this.online || socket?.readyState !== WebSocket.OPEN || socket.bufferedAmount > PREVIEW_BACKLOG_BYTES) return false;
		socket.send(encodePreview(header, image));
		return true;
	}

	/** Says goodbye and closes; resolves when the farewell has left, or after a second. */
	async stop(bye?: NodeFrame): Promise<void> {
		const socket = this.#socket;
		if (bye !== undefined) this.send(bye);
		const closed =
			socket === undefined || socket.readyState === WebSocket.CLOSED
				? Promise.resolve()
				: new Promise<void>((resolve) => {
						socket.once('close', () => resolve());
						setTimeout(resolve, 1000).unref();
					});
		this.#dispatch({ t: 'stop' });
		await closed;
	}

	#dispatch(event: LinkEvent): void {
		const { now = monotonicMs, random = Math.random } = this.#options;
		const before = this.#state;
		const { state, effects } = stepLink(before, event, now(), random());
		this.#state = state;
		for (const effect of effects) this.#apply(effect);
		if (before.phase !== this.#state.phase || before.problem !== this.#state.problem) this.#options.onState(this.#state);
		this.#arm();
	}

	#arm(): void {
		clearTimeout(this.#timer);
		const wakeAt = linkWakeAt(this.#state);
		if (wakeAt === undefined) return;
		const { now = monotonicMs } = this.#options;
		this.#timer = setTimeout(() => this.#dispatch({ t: 'tick' }), Math.max(0, wakeAt - now()));
	}

	#apply(effect: LinkEffect): void {
		switch (effect.t) {
			case 'hello':
			case 'ping':
				this.#sendControl(effect);
				break;
			case 'connect':
				this.#connect(effect.socketId);
				break;
			case 'drop':
				this.#drop(effect.reason);
				break;
			case 'deliver':
				this.#options.onFrame(effect.frame);
				break;
			case 'renew':
				void this.#renew();
				break;
			case 'offline':
				this.#options.onNote?.(effect.problem);
				break;
			case 'halt':
				this.#options.onHalt(effect.sentence);
				break;
		}
	}

	#sendControl(effect: Extract<LinkEffect, { t: 'hello' | 'ping' }>): void {
		if (this.#socket?.readyState !== WebSocket.OPEN) return;
		this.#socket.send(effect.t === 'ping' ? PING_TEXT : JSON.stringify(this.#options.hello(effect.nonce, effect.connId)));
	}

	#drop(reason: string): void {
		const socket = this.#socket;
		this.#socket = undefined;
		if (socket === undefined) return;
		if (socket.readyState === WebSocket.OPEN) socket.close(1000, reason.slice(0, 100));
		// A half-open connection never answers the close.
		setTimeout(() => socket.terminate(), 1000).unref();
	}

	#connect(socketId: number): void {
		const { gateway, certificate } = this.#options.credentials();
		let socket: WebSocket;
		try {
			socket = new WebSocket(connectUrl(gateway), [SUBPROTOCOL], {
				headers: { authorization: `Bearer ${certificate}` },
				handshakeTimeout: HANDSHAKE_MS,
				perMessageDeflate: false,
				maxPayload: MAX_FRAME_BYTES,
			});
		} catch (error) {
			// Not now: the reducer must have returned before it hears about the failure.
			setImmediate(() => this.#dispatch({ t: 'closed', socketId, code: 1006, reason: messageOf(error) }));
			return;
		}
		this.#socket = socket;
		this.#listen(socket, socketId);
	}

	#listen(socket: WebSocket, socketId: number): void {
		let problem = '';
		let httpStatus: number | undefined;
		socket.on('open', () => this.#dispatch({ t: 'opened', socketId }));
		socket.on('unexpected-response', (_request, response) => {
			httpStatus = response.statusCode;
			response.resume();
			socket.terminate();
		});
		socket.on('error', (error) => {
			problem = error.message === '' && 'code' in error ? String(error.code) : error.message;
		});
		socket.on('close', (code, reason) => {
			const text = reason.toString();
			this.#dispatch({
				t: 'closed',
				socketId,
				code,
				reason: text === '' ? problem : text,
				...(httpStatus === undefined ? {} : { httpStatus }),
			});
		});
		socket.on('message', (data, isBinary) => {
			if (!isBinary) this.#onText(socketId, textOf(data));
		});
	}

	#onText(socketId: number, text: string): void {
		if (text === PONG_TEXT) return this.#dispatch({ t: 'heard', socketId });
		const parsed = parseGatewayFrame(text);
		if (parsed.kind === 'frame') return this.#dispatch({ t: 'frame', socketId, frame: parsed.frame });
		this.unknownFrames++;
		if (parsed.kind === 'bad') this.#options.onNote?.(`a frame of the gateway could not be read: ${parsed.detail}`);
		return this.#dispatch({ t: 'heard', socketId });
	}

	async #renew(): Promise<void> {
		try {
			await this.#options.renew();
			this.#dispatch({ t: 'renewed', ok: true });
		} catch (error) {
			const sentence = error instanceof UserError ? error.message : `The certificate could not be renewed: ${messageOf(error)}.`;
			this.#dispatch({ t: 'renewed', ok: false, final: this.#options.isFinal(error), sentence });
		}
	}
}
