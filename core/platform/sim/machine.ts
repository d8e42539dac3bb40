import { assert } from '../../assert.ts';
import type { Host } from '../files.ts';
import { MachineClock, type MachineClockOptions } from './clock.ts';
import { SimDisk, type SimDiskOptions } from './disk.ts';
import { SimProcess } from './process.ts';
import type { SimRandom } from './random.ts';
import type { Simulation } from './simulation.ts';

export interface SimMachineOptions extends Partial<MachineClockOptions> {
  /** Of the disk that is mounted at `/`. */
  readonly disk?: Omit<SimDiskOptions, 'name'>;
}

interface Mount {
  readonly id: string;
  readonly disk: SimDisk;
}

const DRIFT_PPM_MAX = 200;
const WALL_ERROR_MS_MAX = 5_000;
const BOOT_TIME_MS = [5_000, 10 * 86_400_000] as const;

/** A computer: clocks, disks, a boot id, processes. Its name is its host name. */
export class SimMachine {
  readonly simulation: Simulation;
  readonly name: string;
  readonly clock: MachineClock;
  readonly host: Host = { bootId: () => this.#bootId };
  readonly #random: SimRandom;
  readonly #disks = new Map<string, SimDisk>();
  readonly #mounts = new Map<string, Mount>();
  readonly #processes = new Set<SimProcess>();
  #bootId = '';
  #bootCount = 0;
  #mountCount = 0;
  #processCount = 0;
  #up = false;

  constructor(simulation: Simulation, name: string, options: SimMachineOptions) {
    this.simulation = simulation;
    this.name = name;
    this.#random = simulation.fork(`machine/${name}`);
    this.clock = new MachineClock(simulation, {
      driftPpm: options.driftPpm ?? this.#random.between([-DRIFT_PPM_MAX, DRIFT_PPM_MAX]),
      wallErrorMs:
        options.wallErrorMs ?? this.#random.between([-WALL_ERROR_MS_MAX, WALL_ERROR_MS_MAX]),
    });
    this.#disks.set('/', this.newDisk('root', options.disk ?? {}));
    this.boot();
  }

  get up(): boolean {
    return this.#up;
  }

  /** Differs between the boots: a connection from before the last one is unknown. */
  get bootCount(): number {
    return this.#bootCount;
  }

  get processes(): ReadonlySet<SimProcess> {
    return this.#processes;
  }

  /** A new process; its name may be used again when it is gone. */
  process(name: string): SimProcess {
    assert(this.#up, 'a process runs on a machine that is up');
    this.#processCount += 1;
    const started = new SimProcess(this, `${this.name}/${name}#${this.#processCount}`);
    this.#processes.add(started);
    return started;
  }

  newDisk(name: string, options: Omit<SimDiskOptions, 'name'> = {}): SimDisk {
    return new SimDisk(this.simulation, { ...options, name: `${this.name}:${name}` });
  }

  /** The disk mounted at `mountPoint` (default: the one at `/`). */
  disk(mountPoint = '/'): SimDisk {
    const disk = this.#disks.get(mountPoint);
    assert(disk !== undefined, 'a disk is mounted there');
    return disk;
  }

  /** Mounts a disk, now and at every boot, on a folder that is made if it is not there. */
  mount(mountPoint: string, disk: SimDisk): void {
    assert(/^(\/[^/]+)+$/.test(mountPoint), 'a mount point is an absolute path below /');
    this.disk('/').makeMountPoint(mountPoint);
    this.#disks.set(mountPoint, disk);
    if (this.#up) this.#mountNow(mountPoint, disk);
  }

  /** Writes all to the disk and takes it away: the path now means a folder of the root disk. */
  unmount(mountPoint: string): void {
    assert(mountPoint !== '/', 'the root disk stays');
    this.disk(mountPoint).syncAll();
    this.#disks.delete(mountPoint);
    this.#mounts.delete(mountPoint);
    this.simulation.note(this.name, `unmounted ${mountPoint}`);
  }

  /** The mount that holds `path`, and the path within it. */
  mountOf(path: string): { readonly mount: Mount; readonly inner: string } {
    assert(path.startsWith('/'), 'simulated paths are absolute');
    let best = '/';
    for (const mountPoint of this.#mounts.keys()) {
      const within = path === mountPoint || path.startsWith(`${mountPoint}/`);
      if (within && mountPoint.length > best.length) best = mountPoint;
    }
    const mount = this.#mounts.get(best);
    assert(mount !== undefined, 'a machine that is up has a root disk');
    return { mount, inner: best === '/' ? path : path.slice(best.length) || '/' };
  }

  /** Kills every process; disks keep a random part of what was not flushed. */
  losePower(): void {
    if (!this.#up) return;
    this.simulation.note(this.name, 'lost power');
    this.#up = false;
    for (const running of this.#processes) running.losePower();
    for (const disk of this.#disks.values()) disk.losePower();
    this.#mounts.clear();
  }

  boot(): void {
    if (this.#up) return;
    this.#up = true;
    this.#bootCount += 1;
    this.#bootId = this.#random.uuid();
    this.clock.restart(this.#random.between(BOOT_TIME_MS));
    this.simulation.note(this.name, `booted, boot id ${this.#bootId}`);
    for (const [mountPoint, disk] of this.#disks) this.#mountNow(mountPoint, disk);
    this.simulation.network.machineBooted(this);
  }

  /** For SimProcess only. */
  processGone(gone: SimProcess): void {
    this.#processes.delete(gone);
  }

  #mountNow(mountPoint: string, disk: SimDisk): void {
    this.#mountCount += 1;
    // As in platform/node: a number that is never used again, the device and the source.
    const id = `${this.#bootCount}${this.#mountCount.toString().padStart(6, '0')} ${disk.name}`;
    this.#mounts.set(mountPoint, { id, disk });
  }
}
