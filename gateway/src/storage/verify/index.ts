/**
 * Verification of picture bytes while they stream by.
 * @module
 */
export {
	CONTENT_TYPES,
	EXTENSIONS,
	createVerifier,
	kindsOf,
	type BodyRules,
	type Picture,
	type Verdict,
	type Verifier,
} from './verifier.ts';
export type { Flaw, PictureKind, PictureRules, Shape } from './walk.ts';
