/**
 * Namespaces of our own (user, network, mount, process), where Linux lets us have them: a network per node whose cable can be
 * pulled, and small disks that can be filled. Everything in them ends with the process. Elsewhere a proxy that stops
 * forwarding, and writes that fail, stand in.
 * @module
 */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Inside the namespaces this variable says so. */
const INSIDE = 'CHAOS_NAMESPACES';
const BRIDGE = 'chaos0';
const SUBNET = '10.213.7';

const run = (command: string, ...args: string[]): void => {
	execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
};

/** Whether cables can be pulled and disks be mounted here. */
export const namespaced = (): boolean => process.env[INSIDE] === '1';

/**
 * Runs this very program again inside namespaces and answers its exit code, or `undefined` when that is not possible
 * or has been done.
 */
export const enterNamespaces = async (): Promise<number | undefined> => {
	if (namespaced() || process.env[INSIDE] === '0' || process.platform !== 'linux') return undefined;
	// The process namespace ends with its first process: even a crash of this program leaves nothing behind.
	const flags = ['--user', '--map-root-user', '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
	const probe = 'ip link set lo up && ip link add probe0 type bridge && mount -t tmpfs -o size=64k none /mnt && command -v nsenter';
	if (spawnSync('unshare', [...flags, 'sh', '-c', probe], { stdio: 'ignore' }).status !== 0) return undefined;
	const child = spawn('unshare', [...flags, process.execPath, ...process.execArgv, ...process.argv.slice(1)], {
		stdio: 'inherit',
		env: { ...process.env, [INSIDE]: '1' },
	});
	process.on('SIGINT', () => {});
	process.on('SIGTERM', () => child.kill('SIGTERM'));
	return new Promise((resolve) => child.on('exit', (code, signal) => resolve(code ?? (signal === null ? 1 : 130))));
};

/** The address at which nodes find their proxies; a bridge that their cables end in. */
export const openNetwork = (): string => {
	if (!namespaced()) return '127.0.0.1';
	run('ip', 'link', 'set', 'lo', 'up');
	run('ip', 'link', 'add', BRIDGE, 'type', 'bridge');
	run('ip', 'addr', 'add', `${SUBNET}.1/24`, 'dev', BRIDGE);
	run('ip', 'link', 'set', BRIDGE, 'up');
	return `${SUBNET}.1`;
};

/** A network namespace for one node. A process holds it, since the node's own come and go. */
export class Cable {
	readonly #holder: ChildProcess;
	readonly #name: string;

	constructor(holder: ChildProcess, name: string) {
		this.#holder = holder;
		this.#name = name;
	}

	static lay(index: number): Cable {
		const holder = spawn('unshare', ['--net', 'sleep', 'infinity'], { stdio: 'ignore' });
		const pid = holder.pid ?? 0;
		const name = `chaos-n${index}`;
		const own = execFileSync('readlink', ['/proc/self/ns/net'], { encoding: 'utf8' });
		// unshare needs a moment before it is in its namespace.
		for (let i = 0; i < 200; i++) {
			const theirs = spawnSync('readlink', [`/proc/${pid}/ns/net`], { encoding: 'utf8' }).stdout;
			if (theirs !== '' && theirs !== own) break;
			Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
		}
		run('ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(pid));
		run('ip', 'link', 'set', name, 'master', BRIDGE, 'up');
		const inside = (...args: string[]): void => run('nsenter', `--net=/proc/${pid}/ns/net`, 'ip', ...args);
		inside('link', 'set', 'lo', 'up');
		inside('addr', 'add', `${SUBNET}.${index + 10}/24`, 'dev', 'eth0');
		inside('link', 'set', 'eth0', 'up');
		return new Cable(holder, name);
	}

	get holderPid(): number {
		return this.#holder.pid ?? 0;
	}

	/** What to put before a command so that it runs at the other end. */
	get prefix(): string[] {
		return ['nsenter', `--net=/proc/${this.#holder.pid}/ns/net`];
	}

	/** A pulled cable: neither side is told. */
	plug(connected: boolean): void {
		run('ip', 'link', 'set', this.#name, connected ? 'up' : 'down');
	}

	cut(): void {
		this.#holder.kill('SIGKILL');
	}
}

/** Makes the folder a disk of so many KiB, where that is possible. */
export const mountDisk = (folder: string, kib: number): boolean => {
	if (!namespaced()) return false;
	run('mount', '-t', 'tmpfs', '-o', `size=${kib}k`, 'chaos', folder);
	return existsSync(folder);
};

export const unmountDisk = (folder: string): void => {
	spawnSync('umount', ['--lazy', folder], { stdio: 'ignore' });
};
