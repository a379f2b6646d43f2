/**
 * Whether the tour was seen in this browser.
 * @module
 */
import { createStored } from '../../lib/value.ts';

export const toured = createStored('limner.toured', false);
