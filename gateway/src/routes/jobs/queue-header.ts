import type { QueueView } from '@limner/shared';

/** `Limner-Queue` of a 202: the Pool's answer as JSON in ASCII, so that any reason fits into a header. */
export const queueHeader = (queue: QueueView): string =>
	JSON.stringify(queue).replaceAll(/[^\x20-\x7e]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
