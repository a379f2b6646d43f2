import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { request } from 'node:http';
import { afterEach, expect, it } from 'vitest';
import { standInAddress, startRelay, type Relay } from './relay.ts';

let relay: Relay | undefined;
let target: Server | undefined;
afterEach(() => {
	relay?.close();
	target?.close();
});

const behind = async (onConnection: (socket: Socket) => void): Promise<Relay> => {
	target = createServer({ allowHalfOpen: true }, onConnection);
	await new Promise<void>((resolve) => target?.listen(0, '127.0.0.1', resolve));
	const { port } = target.address() as AddressInfo;
	relay = await startRelay({ host: '127.0.0.1', port: 0, target: { host: '127.0.0.1', port } });
	return relay;
};

it('passes bytes both ways, large ones too', async () => {
	const { port } = await behind((socket) => {
		socket.on('error', () => undefined);
		socket.pipe(socket);
	});
	const sent = Buffer.alloc(3_000_000, 7);
	const got = await new Promise<number>((resolve, reject) => {
		let bytes = 0;
		const socket = connect(port, '127.0.0.1', () => socket.write(sent));
		socket.on('error', reject);
		socket.on('data', (chunk) => {
			bytes += chunk.length;
			if (bytes === sent.length) socket.destroy();
		});
		socket.on('close', () => resolve(bytes));
	});
	expect(got).toBe(sent.length);
});

it('resets the inner connection when a caller that waits for its answer hangs up', async () => {
	const seen = Promise.withResolvers<string>();
	const { port } = await behind((socket) => {
		socket.on('data', () => undefined);
		socket.on('error', (error: NodeJS.ErrnoException) => seen.resolve(error.code ?? error.message));
		socket.on('end', () => seen.resolve('a plain end, which workerd would not notice'));
	});
	const waiting = request({ port, method: 'POST', host: '127.0.0.1' });
	waiting.on('error', () => undefined);
	waiting.end('{}');
	waiting.on('finish', () => setTimeout(() => waiting.destroy(), 50));
	expect(await seen.promise).toBe('ECONNRESET');
});

it('lets an answer through that closes its connection', async () => {
	const { port } = await behind((socket) => {
		socket.on('error', () => undefined);
		socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhole'));
	});
	expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('whole');
});

it('tells callers apart by addresses of this machine', () => {
	expect(standInAddress('::ffff:127.0.0.1')).toBe('127.0.0.1');
	expect(standInAddress('')).toBe('127.0.0.1');
	const [one, two] = [standInAddress('192.168.1.7'), standInAddress('2001:db8::7')];
	expect(one).toMatch(/^127\.[1-9]\d*\.\d+\.[1-9]\d*$/);
	expect(two).not.toBe(one);
	expect(standInAddress('192.168.1.7')).toBe(one);
});
