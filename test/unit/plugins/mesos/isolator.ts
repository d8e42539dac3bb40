import type { HttpTransport } from '../../../../core/platform/index.ts';
import { type DvdcliContext, runDvdcli } from '../../../../plugins/mesos/run.ts';
import { FakeAgent } from '../../../fixtures/fake-agent.ts';
import { ManualClock } from '../../../fixtures/manual-clock.ts';

export type Answer = { readonly status: number; readonly stdout: string; readonly stderr: string };

/** mesos-agent's docker/volume isolator on a node whose agent is a fake, and its dvdcli. */
export class Isolator {
  readonly agent = new FakeAgent();
  readonly clock = new ManualClock();
  readonly interrupt = new AbortController();
  readonly addresses: string[] = [];
  environment: Record<string, string> = { OPENEBS_AGENT: 'unix:/state/agent.sock' };
  isRoot = true;
  /** The paths that exist. */
  paths: string[] = [];
  /** What is at the address, when the fake is not meant. */
  elsewhere: HttpTransport | null = null;
  /** Thrown by a write to stdout: its reader has gone. */
  broken: Error | null = null;

  /** Exactly what driver.cpp executes. */
  mount(name: string, options: Readonly<Record<string, string>> = {}): Promise<Answer> {
    const given = Object.entries(options).map(([key, value]) => `--volumeopts=${key}=${value}`);
    return this.run('mount', '--volumedriver=openebs', `--volumename=${name}`, ...given);
  }

  unmount(name: string): Promise<Answer> {
    return this.run('unmount', '--volumedriver=openebs', `--volumename=${name}`);
  }

  async run(...argv: readonly string[]): Promise<Answer> {
    let stdout = '';
    let stderr = '';
    const context: DvdcliContext = {
      stdout: {
        write: async (text) => {
          if (this.broken !== null) throw this.broken;
          stdout += text;
        },
      },
      stderr: { write: (text) => void (stderr += text) },
      version: '0.1.0',
      environment: this.environment,
      isRoot: this.isRoot,
      homeFolder: '/home/me',
      exists: (path) => this.paths.includes(path),
      transport: (address) => {
        this.addresses.push(address);
        return this.elsewhere ?? this.agent;
      },
      interrupted: this.interrupt.signal,
      clock: this.clock,
    };
    const status = await runDvdcli(argv, context);
    return { status, stdout, stderr };
  }

  /** The ends of the paths that were asked for, in order. */
  get asked(): string[] {
    return this.agent.requests.map(({ method, path }) => `${method} ${path.split('/').at(-1)}`);
  }
}

export const said = (stdout: string): Answer => ({ status: 0, stdout, stderr: '' });
export const failed = (stderr: unknown): unknown => ({ status: 1, stdout: '', stderr });
export const misused = (stderr: unknown): unknown => ({ status: 2, stdout: '', stderr });
