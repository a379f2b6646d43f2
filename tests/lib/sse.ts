/**
 * A plain reader of a job's event stream that the test can cut at will.
 * @module
 */
import type { TestGateway } from './gateway.ts';
import { until } from './until.ts';

export interface SseEvent {
	event: string;
	id?: string;
	data: Record<string, unknown>;
}

export class SseReader {
	readonly events: SseEvent[] = [];
	comments = 0;
	ended = false;
	status = 0;
	readonly #abort = new AbortController();

	static open(gateway: TestGateway, path: string, headers: Record<string, string> = {}): SseReader {
		const reader = new SseReader();
		void reader.#read(gateway, path, headers);
		return reader;
	}

	async #read(gateway: TestGateway, path: string, headers: Record<string, string>): Promise<void> {
		try {
			const response = await fetch(`${gateway.url}${path}`, {
				headers: { authorization: `Bearer ${gateway.key}`, accept: 'text/event-stream', ...headers },
				signal: this.#abort.signal,
			});
			this.status = response.status;
			let pending = '';
			const decoder = new TextDecoder();
			for await (const chunk of response.body ?? []) {
				pending += decoder.decode(chunk as Uint8Array, { stream: true });
				const blocks = pending.split('\n\n');
				pending = blocks.pop() ?? '';
				for (const block of blocks) this.#block(block);
			}
		} catch {
			// Cut by the test or by a dying gateway.
		}
		this.ended = true;
	}

	#block(block: string): void {
		const event: SseEvent = { event: 'message', data: {} };
		let data = '';
		for (const line of block.split('\n')) {
			if (line.startsWith(':')) this.comments++;
			else if (line.startsWith('event:')) event.event = line.slice(6).trim();
			else if (line.startsWith('id:')) event.id = line.slice(3).trim();
			else if (line.startsWith('data:')) data += line.slice(5).trim();
		}
		if (data === '') return;
		event.data = JSON.parse(data) as Record<string, unknown>;
		this.events.push(event);
	}

	get durable(): SseEvent[] {
		return this.events.filter((event) => event.id !== undefined);
	}

	saw(name: string, timeoutMs = 30_000): Promise<SseEvent> {
		return until(`event ${name}`, () => this.events.find((event) => event.event === name), timeoutMs, 10);
	}

	async finished(timeoutMs = 60_000): Promise<void> {
		await until('the stream ends', () => (this.ended ? true : undefined), timeoutMs, 10);
	}

	cut(): void {
		this.#abort.abort();
	}
}
