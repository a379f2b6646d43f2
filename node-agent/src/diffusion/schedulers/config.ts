import { InvalidRequestError, ModelFolderError } from '../errors.ts';

/** A scheduler_config.json after parsing. */
export type RawConfig = Readonly<Record<string, unknown>>;

/** Keys that define the noise schedule; the values are diffusers' class defaults, models override them. */
export const BETA_DEFAULTS = {
	num_train_timesteps: 1000,
	beta_start: 0.0001,
	beta_end: 0.02,
	beta_schedule: 'linear',
	trained_betas: null as number[] | null,
	prediction_type: 'epsilon',
};

/** Thresholding keys shared by the samplers that estimate the clean sample explicitly. */
export const CLIP_DEFAULTS = {
	clip_sample: true,
	clip_sample_range: 1,
	thresholding: false,
	dynamic_thresholding_ratio: 0.995,
	sample_max_value: 1,
};

/** Keys that replace the sigma spacing. */
export const SIGMA_DEFAULTS = {
	use_karras_sigmas: false,
	use_exponential_sigmas: false,
	use_beta_sigmas: false,
};

/**
 * diffusers' `from_config` rule: every key of `raw` that the class knows (= is in `defaults`), the class's default for
 * the rest, unknown keys ignored.
 * @throws ModelFolderError when a known key has a value of the wrong type
 */
export function pickConfig<T extends object>(defaults: T, raw: RawConfig): T {
	const result: Record<string, unknown> = Object.fromEntries(Object.entries(defaults));
	for (const [key, fallback] of Object.entries(defaults)) {
		const value = raw[key];
		if (value === undefined) continue;
		if (value !== null && fallback !== null && typeof value !== typeof fallback) {
			throw new ModelFolderError(
				`scheduler/scheduler_config.json has ${JSON.stringify(value)} for "${key}" where a ${typeof fallback} belongs; restore the file from the model's source.`,
			);
		}
		result[key] = value ?? fallback;
	}
	return result as T;
}

/** The three parameterisations of the network's output. */
export type Prediction = 'epsilon' | 'v_prediction' | 'sample';

/** @throws InvalidRequestError for a parameterisation that the sampler does not know */
export function asPrediction(value: string, sampler: string): Prediction {
	if (value === 'epsilon' || value === 'v_prediction' || value === 'sample') return value;
	throw new InvalidRequestError(`The sampler ${sampler} cannot run a model with prediction type "${value}".`);
}
