/**
 * Optional fields.
 * @module
 */

/** Fields that may be undefined become fields that may be absent. */
export type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
	[K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** The fields that have a value: an absent field is absent, never `undefined`. */
export const defined = <T extends object>(fields: T): Defined<T> =>
	Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>;
