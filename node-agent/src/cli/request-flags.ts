/**
 * The flags that describe a picture, shared by `generate` and `submit`.
 * @module
 */
import { extname } from 'node:path';
import { JobRequest, MaskFill, Operation, OutputFormat, PromptMode, REQUEST_LIMITS as L } from '@limner/shared';
import type { Command } from 'commander';
import { EXIT, UserError } from '../lib/user-error.ts';
import { collect, decimal, duration, oneOf, pairOf, schedulerName, whole } from './parse.ts';

export interface RequestFlags {
	prompt?: string;
	negative?: string;
	seed?: number;
	steps?: number;
	width?: number;
	height?: number;
	guidance?: number;
	scheduler?: string;
	n?: number;
	task?: Operation;
	model?: string;
	init?: string;
	mask?: string;
	strength?: number;
	eta?: number;
	guidanceRescale?: number;
	pasteBack?: boolean;
	maskCropPadding?: number;
	maskFeather?: number;
	maskInvert?: boolean;
	maskFill?: MaskFill;
	promptMode?: PromptMode;
	originalSize?: [number, number];
	cropTopLeft?: [number, number];
	targetSize?: [number, number];
	useT5?: boolean;
	outputFormat?: OutputFormat;
	outputQuality?: number;
	class?: 'interactive' | 'batch';
	priority?: number;
	deadline?: number;
	label?: string[];
	preferNode?: string;
	dependsOn?: string[];
	onDependencyFailure?: 'fail' | 'run';
}

/** Adds the flags to a command. */
export const addRequestFlags = (command: Command): Command =>
	command
		.option('--prompt <text>', 'what to draw')
		.option('--negative <text>', 'what to avoid')
		.option('--seed <n>', 'the same seed makes the same picture (default: random)', whole(L.seedMin, L.seedMax))
		.option('--steps <n>', "denoising steps (default: the model's)", whole(L.stepsMin, L.stepsMax))
		.option('--width <px>', "width (default: the model's)", whole(L.sizeMinPx, L.sizeMaxPx))
		.option('--height <px>', "height (default: the model's)", whole(L.sizeMinPx, L.sizeMaxPx))
		.option('--guidance <x>', 'how closely the prompt is followed', decimal(L.guidanceMin, L.guidanceMax))
		.option('--scheduler <name>', 'sampler, like ddim, euler_a or dpmpp_2m_karras', schedulerName)
		.option('--n <n>', 'number of pictures', whole(L.nMin, L.nMax))
		.option('--task <name>', 'txt2img, img2img or inpaint (default: by the pictures given)', oneOf(...Operation.options))
		.option('--model <name>', 'model')
		.option('--init <file>', 'picture to start from')
		.option('--mask <file>', 'what to repaint: white, or transparent')
		.option('--strength <x>', 'how much of the input picture is changed', decimal(L.strengthMin, L.strengthMax))
		.option('--eta <x>', 'DDIM: share of fresh noise', decimal(L.etaMin, L.etaMax))
		.option('--guidance-rescale <x>', 'against overexposure at high guidance', decimal(L.guidanceRescaleMin, L.guidanceRescaleMax))
		.option('--prompt-mode <name>', 'plain, or weighted for (word:1.2), [word] and long prompts', oneOf(...PromptMode.options))
		.option('--mask-crop-padding <px>', 'inpaint: work on the masked area and this much around it', whole(L.maskPxMin, L.maskPxMax))
		.option('--mask-feather <px>', 'inpaint: soft border inside the mask when it is pasted back', whole(L.maskPxMin, L.maskPxMax))
		.option('--mask-invert', 'inpaint: keep what the mask shows, and repaint the rest')
		.option('--mask-fill <name>', 'inpaint: what to start from', oneOf(...MaskFill.options))
		.option('--original-size <WxH>', 'SDXL: size of the picture that the model shall think this was made from', pairOf('x'))
		.option('--crop-top-left <X,Y>', 'SDXL: crop that the model shall think was made', pairOf(','))
		.option('--target-size <WxH>', 'SDXL: size that the model shall aim at', pairOf('x'))
		.option('--use-t5', 'SD 3: read the prompt with the third text encoder (default: where there is one)')
		.option('--no-use-t5', 'SD 3: leave the third text encoder out')
		.option('--output-format <name>', 'png, jpeg or webp (default: by the ending of --out)', oneOf(...OutputFormat.options))
		.option('--output-quality <n>', 'of JPEG and WebP, 100 is best', whole(L.outputQualityMin, L.outputQualityMax))
		.option('--no-paste-back', 'inpaint: do not put the original pixels back outside the mask');

/** Adds what only a queue understands. */
export const addQueueFlags = (command: Command): Command =>
	command
		.option('--class <name>', 'interactive goes before batch', oneOf('interactive', 'batch'))
		.option('--priority <n>', 'among your own jobs, 9 is first', whole(L.priorityMin, L.priorityMax))
		.option('--deadline <time>', 'give up when it is not done by then, like 90s, 10m or 2h', duration(L.deadlineMinMs, L.deadlineMaxMs))
		.option('--label <text>', 'a word to find it by; may be repeated', collect)
		.option('--prefer-node <id>', 'a node that gets it when it would be about as fast as the best one')
		.option('--depends-on <job>', 'a job that must end first; may be repeated', collect)
		.option('--on-dependency-failure <what>', 'fail, or run all the same', oneOf('fail', 'run'));

const usage = (sentence: string): UserError => new UserError(sentence, { exitCode: EXIT.usage });

/** The fields of the API that the flags name. */
const fieldsOf = (flags: RequestFlags): Record<string, unknown> => {
	const { negative, pasteBack, deadline, label, ...rest } = flags;
	const fields: Record<string, unknown> = {
		...rest,
		negativePrompt: negative,
		pasteBack: pasteBack === false ? false : undefined,
		deadlineMs: deadline,
		labels: label,
	};
	return Object.fromEntries(Object.entries(fields).filter(([key, value]) => value !== undefined && Object.hasOwn(JobRequest.shape, key)));
};

/**
 * The body of a job out of the flags, without input pictures.
 * @throws {UserError} that names the flag
 */
export const toJobRequest = (flags: RequestFlags): JobRequest => {
	if (flags.prompt === undefined) throw usage('Say what to draw with --prompt "…".');
	if (flags.mask !== undefined && flags.init === undefined)
		throw usage('A mask needs the picture that it belongs to; give it with --init.');
	const parsed = JobRequest.safeParse(fieldsOf(flags));
	if (parsed.success) return parsed.data;
	const [issue] = parsed.error.issues;
	throw usage(`--${String(issue?.path[0] ?? '')} ${issue?.message ?? 'has a wrong value'}.`);
};

const ENDINGS: Readonly<Record<string, OutputFormat>> = { '.png': 'png', '.jpg': 'jpeg', '.jpeg': 'jpeg', '.webp': 'webp' };

/** The format that is asked for, in words or by the ending of a file; nothing where neither says. */
export const formatOf = (flags: Pick<RequestFlags, 'outputFormat'>, out: string): OutputFormat | undefined =>
	flags.outputFormat ?? ENDINGS[extname(out).toLowerCase()];

/** What the pictures given ask for. */
export const taskOf = (flags: RequestFlags): Operation => {
	if (flags.task !== undefined) return flags.task;
	if (flags.mask !== undefined) return 'inpaint';
	return flags.init === undefined ? 'txt2img' : 'img2img';
};
