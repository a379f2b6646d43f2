import { InvalidRequestError, ModelFolderError } from '../errors.ts';

/** Rounds halves to the even neighbour, as numpy does; 166.5 → 166. */
export function roundHalfEven(x: number): number {
	const floor = Math.floor(x);
	const rest = x - floor;
	if (rest !== 0.5) return Math.round(x);
	return floor % 2 === 0 ? floor : floor + 1;
}

/** n evenly spaced numbers from start to end inclusive (numpy.linspace). */
export function linspace(start: number, end: number, n: number): number[] {
	if (n === 1) return [start];
	const step = (end - start) / (n - 1);
	return Array.from({ length: n }, (_, i) => (i === n - 1 ? end : start + step * i));
}

export interface SpacingConfig {
	num_train_timesteps: number;
	timestep_spacing: string;
	steps_offset: number;
}

/** How a sampler lays its steps over the training timesteps. */
export interface SpacingOptions {
	/** DPM-Solver and UniPC place n+1 points and drop the last for linspace and leading. */
	extraPoint: boolean;
	/** Keep fractional timesteps for linspace (sigma samplers interpolate between training steps). */
	fractional: boolean;
	/** Highest training timestep + 1 that may be used; less than all when λ is clipped. */
	last?: number;
}

/** N, N−r, N−2r, … > 0, rounded, minus 1; the increment is rounded the way numpy.arange rounds it. */
function trailing(last: number, ratio: number, steps: number): number[] {
	const increment = last - ratio - last;
	const count = Math.min(steps, Math.ceil(last / ratio));
	return Array.from({ length: count }, (_, i) => roundHalfEven(last + i * increment) - 1);
}

/**
 * Descending timesteps of an n-step run: "linspace", "leading" or "trailing" of Lin et al. 2024, table 2.
 * @throws InvalidRequestError when more steps are asked than the model has training timesteps
 */
export function spaceTimesteps(config: SpacingConfig, steps: number, options: SpacingOptions): number[] {
	const last = options.last ?? config.num_train_timesteps;
	if (!Number.isInteger(steps) || steps < 1 || steps > config.num_train_timesteps) {
		throw new InvalidRequestError(`steps must be a whole number from 1 to ${config.num_train_timesteps}, not ${steps}.`);
	}
	const points = options.extraPoint ? steps + 1 : steps;
	switch (config.timestep_spacing) {
		case 'linspace': {
			const line = linspace(0, last - 1, points).map((t) => (options.fractional ? Math.fround(t) : roundHalfEven(t)));
			return line.toReversed().slice(0, steps);
		}
		case 'leading': {
			const ratio = Math.floor(last / points);
			return Array.from({ length: steps }, (_, i) => (points - 1 - i) * ratio + config.steps_offset);
		}
		case 'trailing':
			return trailing(last, config.num_train_timesteps / steps, steps);
		default:
			throw new ModelFolderError(
				`scheduler/scheduler_config.json names the unknown timestep_spacing "${config.timestep_spacing}"; use linspace, leading or trailing.`,
			);
	}
}
