/**
 * One attempt to deliver a message.
 * @module
 */
import { DELIVERY_LIMITS as L, LIMNER_VERSION, urlProblem } from '@limner/shared';
import { retryAfterMs, type Outcome } from './retries.ts';

export interface Letter {
	url: string;
	body: string;
	headers: Record<string, string>;
	allowPrivate: boolean;
}

const messageOf = (error: unknown): string => {
	if (error instanceof Error && error.name === 'TimeoutError') return `no answer within ${L.attemptMs / 1000} s`;
	return error instanceof Error ? error.message : String(error);
};

const answered = async (response: Response): Promise<Outcome> => {
	// Nothing in the answer matters, and nothing bounds its length.
	await response.body?.cancel().catch(() => undefined);
	const { status } = response;
	if (status >= 200 && status < 300) return { status };
	if (status >= 300 && status < 400) return { status, error: 'redirects are not followed; register the final address' };
	const pause = retryAfterMs(response.headers.get('retry-after'), Date.now());
	return { status, error: `the receiver answered ${status}`, ...(pause === undefined ? {} : { retryAfterMs: pause }) };
};

/** Posts a letter. The address is judged again: rules may have changed since it was registered. Never throws. */
export const post = async ({ url, body, headers, allowPrivate }: Letter): Promise<Outcome> => {
	const problem = urlProblem(url, allowPrivate);
	if (problem !== undefined) return { error: `the address is refused: ${problem}` };
	const late = new AbortController();
	// Stopped when the answer is there: a clock that runs on keeps the Durable Object in memory until it ends.
	const clock = setTimeout(() => late.abort(new DOMException('', 'TimeoutError')), L.attemptMs);
	try {
		const response = await fetch(url, {
			method: 'POST',
			// A redirect would lead around the check above.
			redirect: 'manual',
			headers: { 'content-type': 'application/json', 'user-agent': `limner-webhooks/${LIMNER_VERSION}`, ...headers },
			body,
			signal: late.signal,
		});
		return await answered(response);
	} catch (error) {
		return { error: messageOf(error).slice(0, L.errorChars) };
	} finally {
		clearTimeout(clock);
	}
};
