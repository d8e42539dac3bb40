import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  AgentClient,
  ApiserverClient,
  type MemberView,
  type VolumeView,
} from '../../core/api/index.ts';
import { NodeHttpTransport } from '../../core/platform/node/index.ts';
import { type Manifest, Writer } from './files.ts';
import { killHard, processesNaming } from './machine.ts';
import { freePortRange, mayactlWords, run, Up } from './programs.ts';

const POLL_INTERVAL_MS = 100;
/** How often a killed replica is looked for while it must stay down. */
const KILL_INTERVAL_MS = 20;
const PORT_COUNT = 8;
const QUIET_MS = 3_000;

/** The cluster of the story, and what has been written to its volume so far. */
export class Scene {
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly manifest: Manifest = new Map();
  readonly volumeName = 'demo';
  readonly #client: ApiserverClient;
  readonly #address: string;
  #up: Up | null = null;
  #writer: Writer | null = null;

  constructor(signal: AbortSignal) {
    this.signal = signal;
    // Short: the sockets below it have at most 107 bytes of path.
    this.folder = mkdtempSync(join(tmpdir(), 'openebs-demo-'));
    this.#address = `unix:${this.folder}/apiserver.sock`;
    this.#client = new ApiserverClient(new NodeHttpTransport({ address: this.#address }));
  }

  get up(): Up | null {
    return this.#up;
  }

  get writer(): Writer {
    if (this.#writer === null) throw new Error('nothing is written yet');
    return this.#writer;
  }

  writeTo(mountpoint: string): Writer {
    this.#writer = new Writer(mountpoint, this.manifest);
    return this.#writer;
  }

  /** No more writes of ours; one that hangs in the kernel is waited for a moment only. */
  async quiet(): Promise<void> {
    const stopped = this.#writer?.stop().catch(() => undefined);
    await Promise.race([stopped, delay(QUIET_MS, undefined, { ref: false })]);
  }

  async startUp(): Promise<void> {
    const ports = await freePortRange(PORT_COUNT);
    this.#up = new Up(this.folder, ports, join(this.folder, 'up.log'));
  }

  mayactl(...words: string[]): Promise<string> {
    return run(mayactlWords(this.#address, words), this.signal);
  }

  volume(): Promise<VolumeView> {
    return this.#client.getVolume(this.volumeName, { signal: this.signal });
  }

  async onlineNodes(): Promise<readonly string[]> {
    const { nodes } = await this.#client.listNodes({ signal: this.signal });
    return nodes.filter((node) => node.state === 'online').map((node) => node.name);
  }

  /** Why volumes cannot be mounted here; empty when they can. */
  async attachProblem(): Promise<string> {
    const address = `unix:${this.folder}/node-1/agent.sock`;
    const agent = new AgentClient(new NodeHttpTransport({ address }));
    const info = await agent.info({ signal: this.signal });
    return info.attachMethod === 'none' ? info.attachMethodReason : '';
  }

  /** @throws Error that says what was waited for. */
  async until(what: string, timeoutMs: number, ask: () => Promise<boolean>): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      this.signal.throwIfAborted();
      if (this.#up?.hasEnded === true) throw new Error('maya up ended before the story did');
      let failure: unknown;
      const isSo = await ask().catch((error: unknown) => {
        failure = error;
        return false;
      });
      if (isSo) return;
      if (performance.now() >= deadlineMs) {
        const seconds = timeoutMs / 1_000;
        throw new Error(`waited ${seconds} s in vain until ${what}`, { cause: failure });
      }
      await delay(POLL_INTERVAL_MS);
    }
  }

  async memberOn(node: string): Promise<MemberView> {
    const { members } = await this.volume();
    const member = members.find((candidate) => candidate.node === node);
    if (member === undefined) throw new Error(`the volume has no replica on ${node}`);
    return member;
  }

  /**
   * Kills the replica, and again whenever its agent has started it again, until the target has
   * gone on without it: a replica that comes back within its deadline just resumes.
   * @returns how often it was killed.
   */
  async killReplicaUntilGivenUp({ id, node }: MemberView, timeoutMs: number): Promise<number> {
    const killed = new Set<number>();
    const killing = setInterval(() => {
      for (const pid of this.#instancePids('replica', id)) {
        killed.add(pid);
        killHard(pid);
      }
    }, KILL_INTERVAL_MS);
    try {
      await this.until(`the target has given up the replica on ${node}`, timeoutMs, async () => {
        this.#writer?.throwIfFailed();
        return (await this.memberOn(node)).state !== 'inSync';
      });
    } finally {
      clearInterval(killing);
    }
    if (killed.size === 0) throw new Error(`no process of the replica on ${node} was found`);
    return killed.size;
  }

  async killTarget(): Promise<void> {
    const { id } = await this.volume();
    const [pid, ...more] = this.#instancePids('target', id);
    if (pid === undefined) throw new Error('no process of the target was found');
    if (more.length > 0) throw new Error('the volume has more than one target');
    killHard(pid);
  }

  #instancePids(kind: 'replica' | 'target', id: string): readonly number[] {
    return processesNaming(this.folder)
      .filter(({ argv }) => argv.includes(kind) && argv.some((word) => word.includes(id)))
      .map(({ pid }) => pid);
  }
}
