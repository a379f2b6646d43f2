import * as noise from '../../node-agent/src/diffusion/noise.ts';
import * as beta from '../../node-agent/src/diffusion/schedulers/beta-distribution.ts';
import * as flow from '../../node-agent/src/diffusion/schedulers/flow_euler.ts';
import * as schedulers from '../../node-agent/src/diffusion/schedulers/index.ts';
import * as betas from '../../node-agent/src/diffusion/schedulers/betas.ts';
import type { Implementation } from './replay.ts';

/** The code in the tree. */
export const implementation: Implementation = { noise, beta, flow, schedulers, betas };
