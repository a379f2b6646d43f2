import type { NodeFrame } from '@limner/shared';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { StoredModel } from '../models/store.ts';
import { Inventory, type InventoryParts } from './inventory.ts';

const model = (name: string): StoredModel => ({ name, dir: `/models/${name}`, info: { name } }) as unknown as StoredModel;
const make = (parts: Partial<InventoryParts> = {}) => {
	const sent: NodeFrame[] = [];
	const link = { up: true };
	const inventory = new Inventory({
		models: [model('a')],
		log: pino({ level: 'silent' }),
		send: (frame) => link.up && sent.push(frame) > 0,
		...parts,
	});
	const told = () => sent.map((frame) => (frame.t === 'telemetry' ? frame.models?.map(({ name }) => name) : frame.t));
	return { inventory, link, told };
};

describe('Inventory', () => {
	it('tells what a chore brought and removed', () => {
		const { inventory, told } = make();
		inventory.change({ came: model('b') });
		inventory.change({ gone: 'a' });
		expect(told()).toEqual([['a', 'b'], ['b']]);
		expect([inventory.find('a'), inventory.find('b')?.dir]).toEqual([undefined, '/models/b']);
	});
	it('replaces a model that came again', () => {
		const { inventory } = make();
		inventory.change({ came: { ...model('a'), dir: '/elsewhere' } });
		expect(inventory.all().map(({ dir }) => dir)).toEqual(['/elsewhere']);
	});
	it('tells later what it found while the link was down', async () => {
		const found: (StoredModel[] | undefined)[] = [[model('a'), model('b')], undefined, undefined];
		const { inventory, link, told } = make({ lookForModels: () => Promise.resolve(found.shift()) });
		link.up = false;
		await inventory.look();
		expect(told()).toEqual([]);
		link.up = true;
		await inventory.look();
		await inventory.look();
		expect(told()).toEqual([['a', 'b']]);
	});
	it('looks once at a time, and goes on after a folder that cannot be read', async () => {
		let looks = 0;
		const gate = Promise.withResolvers<undefined>();
		const { inventory } = make({ lookForModels: () => (looks++ === 0 ? gate.promise : Promise.reject(new Error('EACCES'))) });
		const first = inventory.look();
		await inventory.look();
		expect(looks).toBe(1);
		gate.resolve(undefined);
		await first;
		await inventory.look();
		await inventory.look();
		expect(looks).toBe(3);
		expect(inventory.all()).toHaveLength(1);
	});
	it('fetches what the pool hints at, unless it is there or the owner does not want that', async () => {
		const asked: string[] = [];
		const fetchModel = (source: string, name: string): Promise<StoredModel[]> => {
			asked.push(`${source} ${name}`);
			return name === 'gone' ? Promise.reject(new Error('404')) : Promise.resolve([model('a'), model(name)]);
		};
		const { inventory, told } = make({ fetchModel });
		await inventory.prefetch('hub/a', 'a');
		await inventory.prefetch('hub/gone', 'gone');
		await inventory.prefetch('hub/b', 'b');
		expect(asked).toEqual(['hub/gone gone', 'hub/b b']);
		expect(told()).toEqual([['a', 'b']]);
		const without = make();
		await without.inventory.prefetch('hub/b', 'b');
		expect(without.told()).toEqual([]);
	});
});
