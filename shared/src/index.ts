/**
 * Wire and API schemas, state machines, ids, errors and limits. No I/O.
 * @module
 */
export * from './address.ts';
export * from './alert-rules.ts';
export * from './audit.ts';
export * from './backup.ts';
export * from './canonical.ts';
export * from './errors.ts';
export * from './events.ts';
export * from './frames.ts';
export * from './ids.ts';
export * from './infotext.ts';
export * from './jobs.ts';
export * from './ledger.ts';
export * from './limits.ts';
export * from './mcp.ts';
export * from './models.ts';
export * from './repainter.ts';
export * from './quotas.ts';
export * from './schedulers.ts';
export * from './scopes.ts';
export * from './states.ts';
export * from './task-types.ts';
export * from './tickets.ts';
export * from './workflows.ts';
export const LIMNER_VERSION = '0.1.0';
