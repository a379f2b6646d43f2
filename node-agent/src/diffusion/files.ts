import { readFile } from 'node:fs/promises';
import { ModelFolderError } from './errors.ts';

function isMissing(error: unknown): boolean {
	return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

/**
 * Reads a text file of a model folder.
 * @throws ModelFolderError when it is missing, empty or unreadable
 */
export async function readTextFile(path: string): Promise<string> {
	let text: string;
	try {
		text = await readFile(path, 'utf8');
	} catch (error) {
		const what = isMissing(error) ? 'is missing' : `cannot be read (${error instanceof Error ? error.message : String(error)})`;
		throw new ModelFolderError(`${path} ${what}; download the model again or put the file back.`, { cause: error });
	}
	if (text.trim() === '') throw new ModelFolderError(`${path} is empty; download the model again.`);
	return text;
}

/**
 * Parses a JSON file of a model folder. Python's json module may write bare Infinity and NaN (DPM-Solver configs do),
 * which are understood here.
 * @param fallback returned when the file does not exist
 * @throws ModelFolderError when it is missing (without a fallback), empty, or no JSON
 */
export async function readJsonFile<T>(path: string, fallback?: T): Promise<T> {
	let text: string;
	try {
		text = await readTextFile(path);
	} catch (error) {
		if (fallback !== undefined && error instanceof Error && isMissing(error.cause)) return fallback;
		throw error;
	}
	const plain = text.replace(/(:\s*-?)Infinity(?=\s*[,}\]])/g, '$11e999').replace(/(:\s*)NaN(?=\s*[,}\]])/g, '$1null');
	try {
		return JSON.parse(plain) as T;
	} catch (error) {
		throw new ModelFolderError(`${path} is not valid JSON; download the model again.`, { cause: error });
	}
}
