/**
 * Refusals of an S3 endpoint as errors of the port. Pure.
 * @module
 */
import { StorageError, type StorageErrorKind } from '../port.ts';
import { elementText } from './xml.ts';

const KINDS: Record<string, StorageErrorKind> = {
	AccessDenied: 'denied',
	AuthorizationHeaderMalformed: 'misconfigured',
	BadDigest: 'checksum',
	EntityTooLarge: 'too_large',
	ExpiredToken: 'denied',
	IncompleteBody: 'checksum',
	InvalidAccessKeyId: 'denied',
	InvalidDigest: 'checksum',
	NoSuchBucket: 'misconfigured',
	PermanentRedirect: 'misconfigured',
	RequestTimeTooSkewed: 'denied',
	SignatureDoesNotMatch: 'denied',
	XAmzContentChecksumMismatch: 'checksum',
	XAmzContentSHA256Mismatch: 'checksum',
	// Two writers with If-None-Match at once: the one that hears this has not been compared yet.
	ConditionalRequestConflict: 'unavailable',
	OperationAborted: 'unavailable',
	RequestTimeout: 'unavailable',
	SlowDown: 'unavailable',
};

const kindOfStatus = (status: number): StorageErrorKind => {
	if (status === 401 || status === 403) return 'denied';
	if (status === 413) return 'too_large';
	if (status === 408 || status === 429 || status >= 500) return 'unavailable';
	return status < 400 ? 'misconfigured' : 'rejected';
};

/** @param xml body of the answer; HEAD has none, so that its status has to do */
export const s3Error = (what: string, status: number, xml: string): StorageError => {
	const code = elementText(xml, 'Code');
	const kind = (code === undefined ? undefined : KINDS[code]) ?? kindOfStatus(status);
	const told = elementText(xml, 'Message');
	return new StorageError(
		kind,
		`S3: ${what} answered ${status}${code === undefined ? '' : ` ${code}`}${told === undefined ? '' : `: ${told}`}`,
	);
};
