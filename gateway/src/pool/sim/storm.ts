/**
 * Faults that come by themselves: nodes die, freeze, go deaf and flap, the pool is evicted, clocks jump, owners intervene.
 * @module
 */
import type { NodeMode } from '@limner/shared';
import type { FaultName } from './fates.ts';
import type { SimNode } from './node.ts';
import type { World, WorldOptions } from './world.ts';

/** In a world of up to ten nodes something may happen this often. */
const EVERY_MS = 700;
const CHANCE = 0.5;
const JUMP_MAX_MS = 8000;

/** The connection ends; the pool hears of it. */
const cut = (world: World, node: SimNode): void => {
	const { connId } = node;
	if (connId === null) return;
	world.conns.delete(connId);
	world.clock.after(world.fates.between(`close ${connId}`, 1, 40), () => {
		world.shell.run(`closed ${connId}`, 'closed', { connId });
	});
};

/** The pool hears of the end only when the node has long been back on another connection. */
const cutLate = (world: World, connId: string): void => {
	world.clock.after(world.fates.between(`late close ${connId}`, 3000, 9000), () => {
		world.conns.delete(connId);
		world.shell.run(`closed late ${connId}`, 'closed', { connId });
	});
};

const flap = (world: World, node: SimNode, name: string): void => {
	const times = 1 + Math.floor(world.fates.roll(`${name} times`) * 3);
	// The pool may hear of a break only after the node is back.
	const unheard = world.fates.roll(`${name} unheard`) < 0.4;
	for (let i = 0; i < times; i++) {
		world.clock.after(i * world.fates.between(name, 100, 4000), () => {
			if (node.connId === null || node.deafAt !== null) return;
			if (unheard) cutLate(world, node.connId);
			else cut(world, node);
			node.reconnectSoon();
		});
	}
};

const setMode = (world: World, node: SimNode, name: string): void => {
	const { nodeId, ws } = node.identity;
	if (world.fates.roll(`${name} resizes`) < 0.25) {
		world.shell.run(`resize ${name}`, 'resize', { ws, nodeId, slots: 1 + Math.floor(world.fates.roll(`${name} to`) * 4) });
		return;
	}
	const modes: NodeMode[] = ['paused', 'draining', 'active', 'active', 'paused', 'terminated'];
	const mode = world.fates.pick(`${name} mode`, modes);
	// The node that can do everything stays.
	if (mode === 'terminated' && node.traits.label === 'n0') return;
	world.shell.run(`mode ${name}`, 'setMode', { ws, nodeId, mode, reason: 'simulated' });
	if (mode !== 'terminated') {
		world.clock.after(world.fates.between(`${name} resumes`, 1000, 20_000), () => {
			world.shell.run(`resume ${name}`, 'setMode', { ws, nodeId, mode: 'active', reason: '' });
		});
	}
};

/** What operators do to all nodes of a workspace, or to one. */
const operate = (world: World, node: SimNode, name: string): void => {
	const { nodeId, ws } = node.identity;
	const { fates, shell, clock } = world;
	const who = 'user:sim';
	const size = 1 + Math.floor(fates.roll(`${name} size`) * 16);
	const initialise = (what: string): void => void shell.run(`initialise ${what}`, 'initialize', { ws, size, who });
	switch (fates.pick(`${name} does`, ['initialise', 'shutdown', 'move', 'fail'])) {
		case 'initialise':
			initialise(name);
			break;
		case 'shutdown':
			shell.run(`shut down ${name}`, 'shutdown', { ws, now: fates.roll(`${name} now`) < 0.5, who });
			clock.after(fates.between(`${name} again`, 1000, 15_000), () => initialise(`${name} again`));
			break;
		case 'move':
			shell.run(`move ${name}`, 'move', { ws, nodeId, shard: 1 });
			break;
		default:
			shell.run(`fail ${name}`, 'failAgent', { ws, agentId: `${nodeId}/s0`, reason: 'it draws nonsense', who });
	}
};

type Act = (world: World, node: SimNode, name: string) => void;

const ACTS: Partial<Record<FaultName, Act>> = {
	kill: (world, node) => {
		cut(world, node);
		node.kill();
	},
	flapping: flap,
	zombie: (world, node, name) => {
		const ms = world.fates.between(`${name} for`, 3000, 30_000);
		if (world.fates.roll(`${name} deaf`) < 0.5) node.deafen(ms);
		else node.freeze(ms);
	},
	eviction: (world, _, name) => {
		world.shell.evict(world.fates.roll(`${name} hibernates`) < 0.5);
	},
	clock: (world, _, name) => {
		world.shell.jump(Math.round(world.fates.between(`${name} by`, -JUMP_MAX_MS, JUMP_MAX_MS)));
	},
	modes: setMode,
	operators: operate,
	source: (world, _, name) => {
		world.sourceAwayUntil = world.clock.now + world.fates.between(`${name} away for`, 3000, 60_000);
	},
};

/** Plans the storm. A name tells what happens to whom, so that a script reads well. */
export const planStorm = (world: World, options: WorldOptions): void => {
	const kinds = (Object.keys(ACTS) as FaultName[]).filter((kind) => options.faults.has(kind));
	if (kinds.length === 0) return;
	const scale = Math.min(100, Math.max(1, options.nodes / 10));
	const every = EVERY_MS / scale;
	for (let at = 0, i = 0; at < options.stormMs; at += every, i++) {
		world.clock.after(at + world.fates.between(`storm ${i}`, 0, every), () => {
			const kind = world.fates.pick(`storm ${i} kind`, kinds);
			const node = world.fates.pick(`storm ${i} node`, world.nodes);
			const name = `storm ${i}${kind === 'eviction' || kind === 'clock' ? '' : ` ${node.traits.label}`}`;
			// Nodes fail the more often the more there are; there is one pool, and one clock.
			const chance = kind === 'eviction' || kind === 'clock' ? CHANCE / scale : CHANCE;
			if (world.fates.fault(kind, name, chance)) ACTS[kind]?.(world, node, name);
		});
	}
};
