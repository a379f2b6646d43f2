/**
 * Reads what a shared library says of itself: which libraries it needs, and where it looks for them. ELF-64,
 * little-endian (System V ABI, "Object Files" and "Program Loading and Dynamic Linking"), which is Linux on x64 and arm64.
 * @module
 */
import { closeSync, openSync, readSync } from 'node:fs';

export interface ElfInfo {
	machine: 'x64' | 'arm64' | 'other';
	soname?: string;
	/** DT_NEEDED: names of libraries, in the order of the search. */
	needed: string[];
	/** DT_RUNPATH or DT_RPATH, in parts; `$ORIGIN` is the folder of the file. */
	runpath: string[];
}

const MAGIC = 0x7f_45_4c_46;
const HEADER_BYTES = 64;
const MACHINES: Readonly<Record<number, ElfInfo['machine']>> = { 62: 'x64', 183: 'arm64' };
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const DT = { needed: 1, strtab: 5, strsz: 10, soname: 14, rpath: 15, runpath: 29 } as const;
/** No table of a sane library is larger. */
const TABLE_MAX_BYTES = 64 * 1024 ** 2;

interface Segment {
	type: number;
	offset: number;
	address: number;
	bytes: number;
}

type Read = (offset: number, bytes: number) => Buffer;

const number64 = (buffer: Buffer, at: number): number => Number(buffer.readBigUInt64LE(at));

const segmentsOf = (read: Read, header: Buffer): Segment[] => {
	const at = number64(header, 32);
	const size = header.readUInt16LE(54);
	const count = header.readUInt16LE(56);
	if (size < 56 || count === 0) return [];
	const table = read(at, size * count);
	return Array.from({ length: count }, (_, i) => {
		const entry = table.subarray(i * size, (i + 1) * size);
		return { type: entry.readUInt32LE(0), offset: number64(entry, 8), address: number64(entry, 16), bytes: number64(entry, 32) };
	});
};

/** File offset of a virtual address. */
const offsetOf = (segments: readonly Segment[], address: number): number => {
	const home = segments.find(
		(segment) => segment.type === PT_LOAD && address >= segment.address && address < segment.address + segment.bytes,
	);
	if (home === undefined) throw new Error('its string table lies outside of the file');
	return address - home.address + home.offset;
};

/** Pairs of tag and value up to DT_NULL. */
const dynamicOf = (read: Read, segments: readonly Segment[]): [tag: number, value: number][] => {
	const dynamic = segments.find((segment) => segment.type === PT_DYNAMIC);
	if (dynamic === undefined) return [];
	const table = read(dynamic.offset, Math.min(dynamic.bytes, TABLE_MAX_BYTES));
	const pairs: [number, number][] = [];
	for (let at = 0; at + 16 <= table.length; at += 16) {
		const tag = number64(table, at);
		if (tag === 0) break;
		pairs.push([tag, number64(table, at + 8)]);
	}
	return pairs;
};

const textAt = (strings: Buffer, at: number): string => {
	const end = strings.indexOf(0, at);
	if (at >= strings.length || end < 0) throw new Error('its string table is cut off');
	return strings.toString('latin1', at, end);
};

const parse = (read: Read): ElfInfo => {
	const header = read(0, HEADER_BYTES);
	if (header.readUInt32BE(0) !== MAGIC) throw new Error('it is no ELF file');
	if (header[4] !== 2 || header[5] !== 1) throw new Error('it is not 64-bit little-endian');
	const segments = segmentsOf(read, header);
	const dynamic = dynamicOf(read, segments);
	const value = (tag: number): number | undefined => dynamic.find(([candidate]) => candidate === tag)?.[1];
	const table = value(DT.strtab);
	const machine = MACHINES[header.readUInt16LE(18)] ?? 'other';
	if (table === undefined) return { machine, needed: [], runpath: [] };
	const strings = read(offsetOf(segments, table), Math.min(value(DT.strsz) ?? 0, TABLE_MAX_BYTES));
	const text = (tag: number): string | undefined => {
		const at = value(tag);
		return at === undefined ? undefined : textAt(strings, at);
	};
	const soname = text(DT.soname);
	const path = text(DT.runpath) ?? text(DT.rpath) ?? '';
	return {
		machine,
		needed: dynamic.filter(([tag]) => tag === DT.needed).map(([, at]) => textAt(strings, at)),
		runpath: path.split(':').filter((part) => part !== ''),
		...(soname === undefined ? {} : { soname }),
	};
};

/**
 * Reads a library's dynamic section; a file of hundreds of megabytes costs a few reads.
 * @throws {Error} that says what is wrong with the file
 */
export const readElf = (file: string): ElfInfo => {
	const handle = openSync(file, 'r');
	try {
		return parse((offset, bytes) => {
			const buffer = Buffer.alloc(bytes);
			const got = readSync(handle, buffer, 0, bytes, offset);
			if (got < bytes) throw new Error('it is cut off');
			return buffer;
		});
	} catch (error) {
		throw new Error(`${file} cannot be read as a library: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
	} finally {
		closeSync(handle);
	}
};
