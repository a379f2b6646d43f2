/**
 * Which addresses a gateway may call on somebody's behalf. Host names are judged here by their spelling; what they
 * resolve to is judged again where the connection is made. The network ranges are those of the IANA special-purpose
 * registries (RFC 6890 and successors).
 * @module
 */

/** First address, prefix length. */
type Range4 = readonly [string, number];

const PRIVATE_V4: readonly Range4[] = [
	['0.0.0.0', 8],
	['10.0.0.0', 8],
	['100.64.0.0', 10],
	['127.0.0.0', 8],
	['169.254.0.0', 16],
	['172.16.0.0', 12],
	['192.0.0.0', 24],
	['192.0.2.0', 24],
	['192.88.99.0', 24],
	['192.168.0.0', 16],
	['198.18.0.0', 15],
	['198.51.100.0', 24],
	['203.0.113.0', 24],
	// Multicast, reserved, broadcast.
	['224.0.0.0', 3],
];

/** 32-bit value of a dotted address. */
const parseV4 = (text: string): number | undefined => {
	const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
	if (match === null) return undefined;
	const parts = match.slice(1).map(Number);
	if (parts.some((part) => part > 255)) return undefined;
	return parts.reduce((sum, part) => sum * 256 + part, 0);
};

const inRange = (value: number, [first, bits]: Range4): boolean => {
	const size = 2 ** (32 - bits);
	return Math.floor(value / size) === Math.floor((parseV4(first) ?? 0) / size);
};

const isPublicV4 = (value: number): boolean => !PRIVATE_V4.some((range) => inRange(value, range));

const groupsOf = (text: string): number[] | undefined => {
	if (text === '') return [];
	const groups: number[] = [];
	const parts = text.split(':');
	for (const [i, part] of parts.entries()) {
		const v4 = i === parts.length - 1 ? parseV4(part) : undefined;
		if (v4 !== undefined) groups.push(Math.floor(v4 / 65_536), v4 % 65_536);
		else if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16));
		else return undefined;
	}
	return groups;
};

/** Eight 16-bit groups of an IPv6 address, without brackets or zone. */
const parseV6 = (text: string): number[] | undefined => {
	const halves = (text.split('%')[0] ?? '').split('::');
	if (halves.length > 2) return undefined;
	const head = groupsOf(halves[0] ?? '');
	const tail = halves.length === 2 ? groupsOf(halves[1] ?? '') : [];
	if (head === undefined || tail === undefined) return undefined;
	const missing = 8 - head.length - tail.length;
	if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
	return [...head, ...Array.from({ length: missing }, () => 0), ...tail];
};

/** The IPv4 address that an IPv6 address stands for: IPv4-mapped, the obsolete IPv4-compatible form, NAT64 and 6to4. */
const innerV4 = (groups: readonly number[]): number | undefined => {
	const at = (index: number): number => (groups[index] ?? 0) * 65_536 + (groups[index + 1] ?? 0);
	// ::1 and :: are of this form too, and come out as what they are: not public.
	if (groups.slice(0, 5).every((group) => group === 0) && (groups[5] === 0xffff || groups[5] === 0)) return at(6);
	if (groups[0] === 0x64 && groups[1] === 0xff9b) return at(6);
	return groups[0] === 0x2002 ? at(1) : undefined;
};

const isPublicV6 = (groups: readonly number[]): boolean => {
	const inner = innerV4(groups);
	if (inner !== undefined) return isPublicV4(inner);
	const first = groups[0] ?? 0;
	const second = groups[1] ?? 0;
	// Teredo, ORCHID, benchmarking, documentation.
	if (first === 0x2001 && (second < 0x200 || second === 0xdb8)) return false;
	if (first === 0x3fff && second < 0x1000) return false;
	// Only 2000::/3 is given out: unique local, link local, multicast and the rest are not.
	return first >= 0x2000 && first < 0x4000;
};

/** Whether an IP address, as text, is one of the public Internet. Anything that is no IP address is not. */
export const isPublicAddress = (text: string): boolean => {
	const v4 = parseV4(text);
	if (v4 !== undefined) return isPublicV4(v4);
	const v6 = parseV6(text);
	return v6 !== undefined && isPublicV6(v6);
};

const LOCAL_NAME = /(?:^|\.)(?:localhost|local|localdomain|internal|intranet|lan|home|corp|private|onion|test|invalid|home\.arpa)$/;

const hostProblem = (host: string): string | undefined => {
	const name = host.replace(/\.$/, '').toLowerCase();
	if (name.startsWith('[')) return isPublicAddress(name.slice(1, -1)) ? undefined : 'it is an address of a private network';
	if (parseV4(name) !== undefined) return isPublicAddress(name) ? undefined : 'it is an address of a private network';
	// The URL parser has turned every number that means an IPv4 address into dots; what is left of them is broken.
	if (/^[\d.]+$/.test(name) || /(?:^|\.)0x[0-9a-f]*$/.test(name)) return 'its host is not a name';
	if (!name.includes('.')) return 'its host is a name of a local network';
	return LOCAL_NAME.test(name) ? 'its host is a name of a local network' : undefined;
};

/**
 * Why an address may not be called, in words that follow "the address is refused:"; `undefined` when it may be.
 * @param text a URL as somebody typed it: `http://0x7f.1/`, `http://[::ffff:a9fe:a9fe]/` and the like are seen through
 * @param allowPrivate also http and private networks; for tests and for networks of one's own
 */
export const urlProblem = (text: string, allowPrivate: boolean): string | undefined => {
	if (!URL.canParse(text)) return 'it is not a URL';
	const url = new URL(text);
	if (url.protocol !== 'https:' && !(allowPrivate && url.protocol === 'http:')) return 'it must begin with https://';
	if (url.username !== '' || url.password !== '') return 'it must not carry a user name or password';
	if (url.hostname === '') return 'it has no host';
	return allowPrivate ? undefined : hostProblem(url.hostname);
};
