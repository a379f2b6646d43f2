/**
 * What a node is told when it is started.
 * @module
 */
import type { Device } from '@limner/shared';
import type { EnrolOptions } from '../identity/enrol.ts';
import type { Logger } from '../lib/log.ts';
import type { StoredModel } from '../models/store.ts';
import type { StartWorker } from '../slots/messages.ts';
import type { DutyParts } from './duty.ts';
import type { NodeStatus } from './status.ts';

export interface AgentOptions {
	gateway: string;
	stateDir: string;
	name: string;
	token?: string | undefined;
	slots: number;
	/** Slots share them out in turn. */
	devices: readonly Device[];
	engineName: string;
	startWorker: StartWorker;
	/** Pictures that a slot takes at a time until its engine says what it takes; 1 when absent. */
	maxBatch?: number | undefined;
	models: StoredModel[];
	/** Folders that pulled models go into and lie in; the first one takes new ones. */
	stores?: readonly string[] | undefined;
	/** Whether its workspace may bring models and take them away; true when absent. */
	mayPull?: boolean | undefined;
	/** Looks for models again; answers the new list, or nothing when it is the old one. */
	lookForModels?: (() => Promise<StoredModel[] | undefined>) | undefined;
	/** Fetches a model that the pool asks for, and answers the models then; absent when the owner does not want that. */
	fetchModel?: ((source: string, name: string) => Promise<StoredModel[]>) | undefined;
	/** A task uses a model. */
	onModelUsed?: ((name: string) => void) | undefined;
	/** How often, in milliseconds. */
	lookEveryMs?: number;
	/** Hours in which the node works; always when absent. */
	hours?: Pick<DutyParts, 'schedule' | 'now' | 'checkMs'> | undefined;
	/** Bytes that finished pictures may take. */
	maxDiskBytes?: number | undefined;
	log: Logger;
	onStatus?: (status: NodeStatus) => void;
	/** The node cannot go on; the sentence says why and what to do. */
	onHalt?: (sentence: string) => void;
}

/** What enrolling needs of it. */
export const enrolOptions = (options: AgentOptions, nowMs: number): EnrolOptions => ({
	gateway: options.gateway,
	stateDir: options.stateDir,
	name: options.name,
	token: options.token,
	now: nowMs,
});
