/**
 * Entry of an engine process: one engine for one slot. ONNX Runtime blocks its thread while it runs and cannot be
 * aborted, so it lives in a process that can be killed.
 * @module
 */
import { createEngine, type EngineConfig } from '../engines/create.ts';
import { EngineHost } from './host.ts';
import type { FromWorker, ToWorker } from './messages.ts';

interface ChildConfig {
	slotId: string;
	engine: EngineConfig;
	engineLog?: string;
	warnings?: string[];
}

const config = JSON.parse(process.env['LIMNER_ENGINE'] ?? '{}') as ChildConfig;
// Ctrl-C reaches the whole process group; the node decides what becomes of the running task.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
process.on('disconnect', () => process.exit(0));
// The node may have gone while this process was still loading.
if (!process.connected) process.exit(0);

const send = (message: FromWorker): void => {
	if (process.connected) process.send?.(message);
};
const host = new EngineHost(await createEngine(config.engine), send, {
	slotId: config.slotId,
	...(config.engineLog === undefined ? {} : { engineLog: config.engineLog }),
	...(config.warnings === undefined ? {} : { warnings: config.warnings }),
	exit: () => process.exit(0),
});
process.on('message', (message) => host.receive(message as ToWorker));
host.ready();
