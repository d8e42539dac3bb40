import type {
  LocalProcess,
  LocalProcesses,
  ProcessIdentity,
} from '../../../../bin/local/processes.ts';
import type { RunEntry, RunRecord } from '../../../../bin/local/run-record.ts';

export class FakeProcess implements LocalProcess {
  readonly identity: ProcessIdentity;
  readonly argv: readonly string[];
  readonly ended: Promise<string>;
  readonly signals: string[] = [];
  /** What it does with SIGTERM. */
  endsWhenAsked = true;
  isRunning = true;
  readonly #end = Promise.withResolvers<string>();

  constructor(pid: number, argv: readonly string[]) {
    this.identity = { pid, startTicks: pid * 10, bootId: 'boot' };
    this.argv = argv;
    this.ended = this.#end.promise;
  }

  signal(name: 'SIGTERM' | 'SIGKILL'): void {
    this.signals.push(name);
    if (name === 'SIGKILL' || this.endsWhenAsked) this.end(name);
  }

  end(how: string): void {
    this.isRunning = false;
    this.#end.resolve(how);
  }
}

export class FakeProcesses implements LocalProcesses {
  readonly all: FakeProcess[] = [];
  /** Thrown by the next spawns. */
  failure: Error | null = null;

  get last(): FakeProcess {
    const last = this.all.at(-1);
    if (last === undefined) throw new Error('nothing was started');
    return last;
  }

  async spawn(argv: readonly string[]): Promise<LocalProcess> {
    if (this.failure !== null) throw this.failure;
    const process = new FakeProcess(100 + this.all.length, argv);
    this.all.push(process);
    return process;
  }

  adopt(identity: ProcessIdentity): LocalProcess | null {
    const found = this.all.find((process) => process.identity.pid === identity.pid);
    return found?.isRunning === true ? found : null;
  }
}

export class MemoryRunRecord implements RunRecord {
  readonly entries = new Map<string, RunEntry>();

  read(name: string): RunEntry | null {
    return this.entries.get(name) ?? null;
  }

  write(name: string, entry: RunEntry): void {
    this.entries.set(name, entry);
  }

  remove(name: string): void {
    this.entries.delete(name);
  }

  names(): readonly string[] {
    return [...this.entries.keys()];
  }
}
