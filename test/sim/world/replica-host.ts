/** A replica on its machine: its folder, and the process that serves it when there is one. */
import { messageOf } from '../../../core/errors.ts';
import type { SimMachine, SimProcess } from '../../../core/platform/sim/index.ts';
import {
  createReplica,
  openReplica,
  type Replica,
  type ReplicaBreak,
} from '../../../replica/index.ts';
import type { SimBreak } from './options.ts';

export const POOL_PATH = '/pool';

export interface ReplicaHostOptions {
  readonly replicaId: string;
  readonly volumeId: string;
  readonly incarnation: string;
  readonly poolId: string;
  readonly token: string;
  readonly sizeBytes: number;
  readonly breaks: ReadonlySet<SimBreak>;
}

export class ReplicaHost {
  readonly id: string;
  readonly node: string;
  readonly machine: SimMachine;
  readonly #options: ReplicaHostOptions;
  /** Its folder was taken away or emptied for good: it never comes back (R6). */
  lost = false;
  /** Its folder is being taken away: it is not started meanwhile. */
  held = false;
  process: SimProcess | null = null;
  replica: Replica | null = null;
  startedAtMs = 0;

  constructor(machine: SimMachine, options: ReplicaHostOptions) {
    this.id = options.replicaId;
    this.node = machine.name;
    this.machine = machine;
    this.#options = options;
  }

  get path(): string {
    return `${POOL_PATH}/replicas/${this.id}`;
  }

  get running(): boolean {
    return this.process !== null && this.replica !== null;
  }

  /** Mints its folder (R6), by a process of the agent. */
  async create(record: unknown): Promise<void> {
    const agent = this.machine.process('agent');
    const { breaks: _breaks, token: _token, ...identity } = this.#options;
    const spec = { ...identity, poolPath: POOL_PATH, blockSizeBytes: 512, record };
    const gone = new Promise<never>((_resolve, reject) => {
      agent.onGone(() => reject(new Error('the agent is gone')));
    });
    try {
      await Promise.race([createReplica(agent.platform, spec), gone]);
    } finally {
      agent.kill();
    }
  }

  /** @param onGone when the process has ended, however it did. */
  start(address: string, onGone: () => void): void {
    const process = this.machine.process(`replica-${this.id}`);
    this.process = process;
    this.startedAtMs = process.simulation.nowMs;
    process.onGone(() => {
      if (this.process === process) {
        this.process = null;
        this.replica = null;
      }
      onGone();
    });
    const open = (): void => this.#open(process, address);
    // R6: who has no folder is nobody. An agent that mints it at every start breaks that.
    if (this.#options.breaks.has('R6-minted-at-start')) void this.create(null).then(open, open);
    else open();
  }

  #open(process: SimProcess, address: string): void {
    process.enter(() => {
      openReplica(process.platform, {
        ...this.#options,
        poolPath: POOL_PATH,
        breaks: this.#options.breaks as ReadonlySet<ReplicaBreak>,
        addresses: [address],
        log: (event, fields) => process.note(`${event} ${JSON.stringify(fields)}`),
        broken: (detail) => {
          process.note(`broken: ${detail}`);
          process.kill();
        },
      }).then(
        (replica) => {
          if (this.process === process) this.replica = replica;
        },
        (error: unknown) => {
          process.note(`does not start: ${messageOf(error)}`);
          process.kill();
        },
      );
    });
  }
}
