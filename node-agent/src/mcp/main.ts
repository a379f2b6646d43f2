#!/usr/bin/env node
/**
 * `limner-mcp`: an MCP server on standard input and output, for hosts that start their servers. Nothing but JSON-RPC goes
 * to standard output. Reads `LIMNER_URL` and `LIMNER_API_KEY`, else what `limner login` kept.
 * @module
 */
import { createInterface } from 'node:readline';
import { settings } from '../config/settings.ts';
import { Bridge } from './bridge.ts';
import { answerOffline } from './offline.ts';

const send = (message: string): void => void process.stdout.write(`${message}\n`);

/** Serves until the host closes the pipe. */
export const serveBridge = async (): Promise<void> => {
	// Libraries that greet on the console would break the protocol.
	console.log = console.error;
	console.info = console.error;
	const { url, apiKey } = settings();
	const bridge = new Bridge({ url, apiKey, send, offline: answerOffline });
	const running = new Set<Promise<void>>();
	for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
		const work = bridge.line(line).finally(() => running.delete(work));
		running.add(work);
	}
	bridge.close();
	await Promise.allSettled(running);
};

if (import.meta.main) {
	try {
		await serveBridge();
		process.exit(0);
	} catch (error) {
		console.error(`limner: ${error instanceof Error ? error.message : String(error)}`);
		process.exit(1);
	}
}
