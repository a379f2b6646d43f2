/**
 * A machine with a node-agent on it: its processes, its disk, its clock and its cable, and how to break each.
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process';
import {
	closeSync,
	existsSync,
	mkdirSync,
	openSync,
	readFileSync,
	renameSync,
	rmSync,
	statfsSync,
	writeFileSync,
	writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { childrenOf } from '../lib/gateway.ts';
import { readOutbox } from './evidence.ts';
import { Proxy } from './proxy.ts';
import { Cable, mountDisk, namespaced, unmountDisk } from './sandbox.ts';

export interface MachineOptions {
	index: number;
	engine: 'mock' | 'onnx';
	/** Folder that holds everything of this machine. */
	dir: string;
	gateway: string;
	/** Address at which the machine finds its proxy. */
	host: string;
	token: string;
	slots: number;
}

/** Room for pictures, logs and identity; filled up on purpose. */
const DISK_KIB = 16 * 1024;
const STEP_MS = 150;

const signalTo = (pid: number, signal: NodeJS.Signals): void => {
	try {
		process.kill(pid, signal);
	} catch {
		// It has ended by itself.
	}
};

export class Machine {
	readonly options: MachineOptions;
	readonly proxy: Proxy;
	readonly #cable: Cable | undefined;
	readonly #disk: string;
	readonly #mounted: boolean;
	readonly #control: string;
	#clockMs = 0;
	#diskFull = false;
	#child: ChildProcess | undefined;
	/** Exits that nobody asked for. */
	readonly surprises: string[] = [];
	#expected = false;

	private constructor(options: MachineOptions, proxy: Proxy, cable: Cable | undefined) {
		this.options = options;
		this.proxy = proxy;
		this.#cable = cable;
		this.#disk = join(options.dir, 'disk');
		this.#control = join(options.dir, 'control.json');
		mkdirSync(this.#disk, { recursive: true });
		this.#mounted = mountDisk(this.#disk, DISK_KIB);
		this.#tell();
	}

	static async make(options: MachineOptions): Promise<Machine> {
		const proxy = await Proxy.start(options.gateway, options.host);
		return new Machine(options, proxy, namespaced() ? Cable.lay(options.index) : undefined);
	}

	get name(): string {
		return `chaos-${this.options.index}-${this.options.engine}`;
	}

	get stateDir(): string {
		return join(this.#disk, 'state');
	}

	get nodeId(): string | undefined {
		try {
			return (JSON.parse(readFileSync(join(this.stateDir, 'node.json'), 'utf8')) as { nodeId?: string }).nodeId;
		} catch {
			return undefined;
		}
	}

	get pid(): number | undefined {
		const child = this.#child;
		return child === undefined || child.exitCode !== null || child.signalCode !== null ? undefined : child.pid;
	}

	/** Processes that belong to this machine and are neither its node nor below it. */
	get helpers(): number[] {
		return this.#cable === undefined ? [] : [this.#cable.holderPid];
	}

	start(): void {
		if (this.pid !== undefined) return;
		const { engine, slots, token } = this.options;
		const agent = [
			process.execPath,
			'--disable-warning=ExperimentalWarning',
			join(projectRoot(), 'node-agent/src/cli/main.ts'),
			'node',
			`--gateway=${this.proxy.url}`,
			`--name=${this.name}`,
			`--state-dir=${this.stateDir}`,
			`--slots=${slots}`,
			`--engine=${engine}`,
			...(engine === 'mock' ? [`--mock-step-ms=${STEP_MS}`, '--mock-model=chaos-noise'] : []),
			...(this.nodeId === undefined ? [`--token=${token}`] : []),
		];
		const [command = process.execPath, ...args] = [...(this.#cable?.prefix ?? []), ...agent];
		const output = openSync(join(this.options.dir, 'output.log'), 'a');
		const preload = new URL('./preload.ts', import.meta.url).href;
		const child = spawn(command, args, {
			stdio: ['ignore', output, output],
			env: { ...process.env, CHAOS_CONTROL: this.#control, NODE_OPTIONS: `--import=${preload}`, INIT_CWD: projectRoot() },
		});
		closeSync(output);
		this.#child = child;
		this.#expected = false;
		child.on('exit', (code, signal) => {
			if (!this.#expected && this.#child === child) this.surprises.push(`${this.name} ended by itself (${signal ?? `code ${code}`})`);
		});
	}

	#family(): number[] {
		const { pid } = this;
		return pid === undefined ? [] : [pid, ...childrenOf(pid)];
	}

	kill(family: boolean): void {
		this.#expected = true;
		const victims = family ? this.#family() : this.#family().slice(0, 1);
		for (const pid of victims) signalTo(pid, 'SIGKILL');
	}

	freeze(): void {
		for (const pid of this.#family()) signalTo(pid, 'SIGSTOP');
	}

	thaw(): void {
		for (const pid of this.#family()) signalTo(pid, 'SIGCONT');
	}

	/** Pulls the cable where there is one; else the proxy stops forwarding. */
	disconnect(on: boolean): void {
		if (this.#cable === undefined) this.proxy.stall(on);
		else this.#cable.plug(!on);
	}

	fillDisk(on: boolean): void {
		this.#diskFull = on;
		if (this.#mounted) this.#ballast(on);
		else this.#tell();
	}

	#ballast(on: boolean): void {
		const file = join(this.#disk, 'ballast');
		rmSync(file, { force: true });
		if (!on) return;
		const handle = openSync(file, 'w');
		const piece = Buffer.alloc(64 * 1024);
		try {
			for (;;) writeSync(handle, piece);
		} catch {
			// Full, which is the point.
		} finally {
			closeSync(handle);
		}
	}

	/** Whether a write of one page would fail now. */
	get diskIsFull(): boolean {
		return this.#mounted ? statfsSync(this.#disk).bavail === 0 : this.#diskFull;
	}

	jumpClock(byMs: number): void {
		this.#clockMs += byMs;
		this.#tell();
	}

	#tell(): void {
		const control = { clockMs: this.#clockMs, ...(this.#diskFull && !this.#mounted ? { diskFull: this.#disk } : {}) };
		writeFileSync(`${this.#control}.new`, JSON.stringify(control));
		renameSync(`${this.#control}.new`, this.#control);
	}

	/** Ends all faults. */
	heal(): void {
		this.proxy.heal();
		this.#cable?.plug(true);
		this.fillDisk(false);
		this.thaw();
		this.start();
	}

	outbox(): string[] {
		return existsSync(this.stateDir) ? readOutbox(this.stateDir) : [];
	}

	async stop(): Promise<void> {
		const { pid } = this;
		this.#expected = true;
		if (pid !== undefined) {
			const gone = new Promise((resolve) => this.#child?.once('exit', resolve));
			signalTo(pid, 'SIGTERM');
			const timer = setTimeout(() => this.kill(true), 30_000);
			await gone;
			clearTimeout(timer);
		}
		await this.proxy.stop();
		this.#cable?.cut();
	}

	/** After the evidence was read. */
	remove(): void {
		if (this.#mounted) unmountDisk(this.#disk);
	}
}
