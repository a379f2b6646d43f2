/**
 * Bodies of OAuth: forms.
 * @module
 */
import { OAUTH_LIMITS as L } from '@limner/shared';
import { readBounded } from '../../storage/body.ts';

export type FormResult = { ok: true; values: URLSearchParams } | { ok: false; why: string };

/** Reads `application/x-www-form-urlencoded`, within bounds. A name that stands twice is refused (RFC 6749 §3.2). */
export const readForm = async (request: Request): Promise<FormResult> => {
	if (!/^application\/x-www-form-urlencoded\b/i.test(request.headers.get('content-type') ?? '')) {
		return { ok: false, why: 'Content-Type must be application/x-www-form-urlencoded' };
	}
	const bytes = await readBounded(request.body, L.formBytes, 'drain');
	if (bytes === 'too_large') return { ok: false, why: `it has more than ${L.formBytes} bytes` };
	const values = new URLSearchParams(new TextDecoder().decode(bytes));
	const twice = [...new Set(values.keys())].find((name) => name !== 'resource' && values.getAll(name).length > 1);
	return twice === undefined ? { ok: true, values } : { ok: false, why: `${twice.slice(0, 40)} stands twice` };
};
