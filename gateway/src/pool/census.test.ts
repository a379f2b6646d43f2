import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JobSpec, TaskType } from '@limner/shared';
import { CLOSE } from '@limner/shared';
import { Bench, type TaskSend } from './sim/bench.ts';
import { comparable, countedOneByOne } from './sim/census-invariants.ts';
import { modelOf, slotsOf, sourcedModel } from './sim/fixtures.ts';
import { tallyOf } from './tally.ts';

const GIB = 1024 ** 3;
const WORKSPACES = ['acme', 'bolt'];
const MODELS = [[modelOf('storybook')], [sourcedModel('storybook'), modelOf('sdxl')], [{ ...modelOf('sdxl'), sizeMultiple: 64 }]];
const TYPES: TaskType[] = ['RESEARCH', 'HEARTBEAT', 'INGEST', 'DISCOVERY', 'MIGRATION'];

const nodeArb = fc.record({
	ws: fc.constantFrom(...WORKSPACES),
	trust: fc.constantFrom('shared' as const, 'own' as const),
	models: fc.constantFrom(...MODELS),
	taskTypes: fc.subarray(TYPES),
	slots: fc.integer({ min: 1, max: 3 }),
	memoryBytes: fc.constantFrom(undefined, 4 * GIB, 8 * GIB, 16 * GIB),
});

const jobArb = fc.record({
	ws: fc.constantFrom(...WORKSPACES),
	model: fc.constantFrom('storybook', 'sdxl', 'nobody has it'),
	task: fc.constantFrom('txt2img' as const, 'inpaint' as const),
	width: fc.constantFrom(128, 136),
	taskType: fc.option(fc.constantFrom(...TYPES), { nil: undefined, freq: 2 }),
	target: fc.option(fc.nat(), { nil: undefined }),
	n: fc.integer({ min: 1, max: 2 }),
});

/** What may happen to a pool; numbers choose among what is there. */
const actArb = fc.oneof(
	fc.record({ do: fc.constant('join' as const), node: nodeArb }),
	fc.record({ do: fc.constant('submit' as const), job: jobArb }),
	fc.record({
		do: fc.constantFrom('leave' as const, 'return' as const, 'change hands' as const, 'fall silent' as const, 'take a model away' as const),
		which: fc.nat(),
	}),
	fc.record({
		do: fc.constant('mode' as const),
		which: fc.nat(),
		mode: fc.constantFrom('paused' as const, 'draining' as const, 'active' as const),
	}),
	fc.record({
		do: fc.constant('end' as const),
		which: fc.nat(),
		how: fc.constantFrom('oom' as const, 'engine' as const, 'picture' as const),
	}),
	fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(100, 2000, 7000, 40_000) }),
);
type Act = typeof actArb extends fc.Arbitrary<infer T> ? T : never;

const of = <T>(all: readonly T[], which: number): T | undefined => all[which % Math.max(1, all.length)];

/** A bench checks all invariants after each step, among them that the census is what counting anew gives. */
class Play {
	readonly bench = new Bench();
	readonly nodes: { identity: ReturnType<Bench['identity']>; hello: Parameters<Bench['join']>[1]; connId: string }[] = [];
	readonly held: TaskSend[] = [];

	#submit({ ws, model, task, width, taskType, target, n }: Extract<Act, { do: 'submit' }>['job']): void {
		const nodeId = target === undefined ? undefined : of(this.nodes, target)?.identity.nodeId;
		const from = of(this.nodes, n)?.identity.nodeId;
		const care: Partial<JobSpec> =
			taskType === undefined
				? {}
				: { taskType, params: { source: 'a/b', name: model, keep: false, ...(from === undefined ? {} : { from }) } };
		this.bench.submit(
			{ model, task, width, n: taskType === 'MIGRATION' ? 2 : n, ...care, ...(nodeId === undefined ? {} : { nodeId }) },
			{ ws },
		);
	}

	#end(which: number, how: 'oom' | 'engine' | 'picture'): void {
		const grant = of(this.held, which);
		if (grant === undefined) return;
		this.held.splice(this.held.indexOf(grant), 1);
		const nodeId = this.nodes.find(({ connId }) => connId === grant.connId)?.identity.nodeId;
		if (how !== 'picture') this.bench.fail(grant, how);
		else if (nodeId !== undefined && grant.job.spec.taskType === undefined) this.bench.complete(grant, nodeId);
	}

	#toNode(act: Extract<Act, { which: number; do: string }>): void {
		const node = of(this.nodes, act.which);
		if (node === undefined) return;
		const { identity, connId } = node;
		if (act.do === 'leave') this.bench.on('closed', { connId });
		if (act.do === 'return') node.connId = this.bench.join(identity, node.hello);
		if (act.do === 'change hands') {
			identity.ws = identity.ws === 'acme' ? 'bolt' : 'acme';
			node.connId = this.bench.join({ ...identity }, node.hello);
		}
		if (act.do === 'fall silent') this.bench.silent.set(connId, this.bench.now);
		if (act.do === 'take a model away') this.bench.say(connId, { t: 'telemetry', models: [] });
		if (act.do === 'mode') this.bench.on('setMode', { ws: identity.ws, nodeId: identity.nodeId, mode: act.mode, reason: '' });
	}

	act(act: Act): void {
		if (act.do === 'join') {
			const { ws, trust, models, taskTypes, slots, memoryBytes } = act.node;
			const identity = this.bench.identity({ ws, trust });
			const hello = { models, taskTypes, slots: slotsOf(slots), ...(memoryBytes === undefined ? {} : { memoryBytes }) };
			this.nodes.push({ identity, hello, connId: this.bench.join(identity, hello) });
		} else if (act.do === 'submit') this.#submit(act.job);
		else if (act.do === 'pass') this.bench.pass(act.ms);
		else if (act.do === 'end') this.#end(act.which, act.how);
		else this.#toNode(act);
		for (const send of this.bench.sends) if (send.kind === 'close' && send.code === CLOSE.silent) this.bench.on('closed', send);
		this.held.push(...this.bench.grants());
		this.bench.clear();
	}
}

describe('the census of nodes', () => {
	it('answers what asking every slot answers, whatever has happened', () => {
		let refused = 0;
		fc.assert(
			fc.property(fc.array(nodeArb, { minLength: 1, maxLength: 6 }), fc.array(actArb, { minLength: 10, maxLength: 40 }), (nodes, acts) => {
				const play = new Play();
				for (const node of nodes) play.act({ do: 'join', node });
				for (const act of acts) {
					play.act(act);
					for (const job of play.bench.state.jobs.values()) {
						const task = job.tasks.find(({ queued }) => queued);
						if (task === undefined) continue;
						const told = tallyOf(play.bench.state, play.bench.now, job, task);
						expect(comparable(told)).toBe(comparable(countedOneByOne(play.bench.state, play.bench.now, job, task)));
						refused += Object.keys(told.refusals).length;
					}
				}
			}),
			{ numRuns: 60 },
		);
		expect(refused).toBeGreaterThan(1000);
	});
});
