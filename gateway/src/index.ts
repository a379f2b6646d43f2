/**
 * Entry of the Worker: the HTTP surface and the Durable Object classes.
 * @module
 */
import { createApp } from './app.ts';

export { Delivery } from './delivery/delivery.ts';
export { Account } from './account/account.ts';
export { Pool } from './pool/pool.ts';
export { Registry } from './registry/registry.ts';
export { Workspace } from './workspace/workspace.ts';

export default createApp();
