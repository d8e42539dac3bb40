/**
 * Everything between an orchestrator and a volume is killed at every point of a volume's way into a
 * workload and out of it again.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from '@jest/globals';
import { MiB } from '../../core/units.ts';
import type { CsiOutcome } from '../fixtures/csi-client.ts';
import { needs } from '../fixtures/needs.ts';
import { RunningProcess, runOk } from '../fixtures/processes.ts';
import { CLUSTER_COMMANDS, type Cluster, withCluster } from '../fixtures/rigs/cluster.ts';
import { CsiPlugin } from '../fixtures/rigs/csi-plugin.ts';
import { untilFree } from '../fixtures/rigs/free.ts';
import { endHard, mountPointsOf } from '../fixtures/rigs/leftovers.ts';
import { Hopeless, waitFor } from '../fixtures/wait-for.ts';

/** Of a machine that has nothing else to do it takes a tenth. */
const TIMEOUT_MS = 2_400_000;
const STEP_TIMEOUT_MS = 180_000;
const real = needs({ linux: true, root: true, command: CLUSTER_COMMANDS });

const VICTIMS = ['agent', 'plugin', 'target', 'apiserver'] as const;
type Victim = (typeof VICTIMS)[number];

/** In their order; the workload writes when it has its volume. */
const STEPS = [
  'ControllerPublishVolume',
  'NodeStageVolume',
  'NodePublishVolume',
  'the workload',
  'NodeUnpublishVolume',
  'NodeUnstageVolume',
  'ControllerUnpublishVolume',
] as const;
type Step = (typeof STEPS)[number];

type KillPoint = {
  readonly victim: Victim;
  /** The step that it happens before, or in; STEPS.length: after the last one. */
  readonly at: number;
  readonly isDuring: boolean;
};

/** Each step before each victim comes again: what was killed has settled by then. */
const KILL_POINTS: readonly KillPoint[] = [...STEPS, 'the end'].flatMap((step, at) =>
  [false, true].flatMap((isDuring) =>
    VICTIMS.filter(() => !isDuring || (step !== 'the workload' && step !== 'the end')).map(
      (victim) => ({ victim, at, isDuring }),
    ),
  ),
);

/** What a caller is told while something is away or still under way; anything else is wrong. */
const PASSING = ['UNAVAILABLE', 'ABORTED', 'DEADLINE_EXCEEDED', 'CANCELLED'];

real.test(
  'agent, plugin, target and apiserver are killed before, in and after each call, and nothing is left',
  () =>
    withWay(async (way) => {
      for (const point of KILL_POINTS) {
        try {
          await way.go(point);
        } catch (cause) {
          throw new Error(`killed: ${wordsOf(point)}: ${String(cause)}`, { cause });
        }
      }
      // It ran as often as it should: a loop over nothing passes, too.
      expect(way.count).toBe(4 * (8 + 6));
    }),
  TIMEOUT_MS,
);

real.test(
  'an agent whose disk is full does nothing by halves, and goes on when there is room again',
  () =>
    withWay(async (way) => {
      {
        await using small = await way.fillStateFolder();
        await way.once('ControllerPublishVolume');
        expect(await way.call('NodeStageVolume')).toMatchObject({
          code: expect.stringMatching(/^(UNAVAILABLE|RESOURCE_EXHAUSTED|INTERNAL)$/),
          message: expect.stringMatching(/space|ENOSPC/i),
        });
        expect(await mountPointsOf(way.folder, 'self')).toEqual([]);
        await small.makeRoom();
        await way.once('NodeStageVolume');
        await small.fill();
        expect(await way.call('NodePublishVolume')).toHaveProperty('code');
        expect(await mountPointsOf(way.folder, 'self')).toEqual([]);
        await small.makeRoom();
        for (const step of STEPS.slice(2)) await way.once(step);
      }
      await way.untilFree();
    }),
  TIMEOUT_MS,
);

real.test(
  'a mount that somebody else keeps busy stays, and whoever unpublishes it is told by whom',
  () =>
    withWay(async (way) => {
      for (const step of STEPS.slice(0, 4)) await way.once(step);
      {
        const inside = ['-c', `cd ${way.targetPath} && echo ready && exec sleep 600`];
        await using user = new RunningProcess('sh', inside);
        await waitFor('it is inside', () => user.stdout.includes('ready'), 10_000);
        expect(await way.call('NodeUnpublishVolume')).toEqual({
          code: 'FAILED_PRECONDITION',
          message: expect.stringContaining(`pid ${user.pid} (sleep)`),
        });
        expect(await way.call('NodeUnstageVolume')).toMatchObject({ code: 'FAILED_PRECONDITION' });
        await way.once('the workload');
      }
      for (const step of STEPS.slice(4)) await way.once(step);
      await way.untilFree();
    }),
  TIMEOUT_MS,
);

real.test(
  'calls that come late, twice or in the wrong order change nothing',
  () =>
    withWay(async (way) => {
      const done = { ok: {} };
      for (const step of [
        'NodeUnpublishVolume',
        'NodeUnstageVolume',
        'ControllerUnpublishVolume',
      ] as const) {
        expect(await way.call(step)).toEqual(done);
      }
      expect(await way.call('NodePublishVolume')).toMatchObject({ code: 'FAILED_PRECONDITION' });
      for (const step of ['NodeStageVolume', 'ControllerPublishVolume'] as const) {
        await way.once(step);
        await way.once(step);
      }
      await way.once('NodePublishVolume');
      await way.once('NodePublishVolume');
      expect(await mountPointsOf(way.folder, 'self')).toEqual([way.targetPath]);
      expect(await way.call('NodeUnstageVolume')).toMatchObject({ code: 'FAILED_PRECONDITION' });
      await way.once('the workload');
      // Another pod's late clean-up, and one of a volume that was never there.
      const elsewhere = { targetPath: `${way.targetPath}-of-another` };
      expect(await way.call('NodeUnpublishVolume', elsewhere)).toEqual(done);
      expect(await way.call('NodeUnpublishVolume', { ...elsewhere, volumeId: 'gone' })).toEqual(
        done,
      );
      expect(await way.call('ControllerUnpublishVolume', { nodeId: 'node-9' })).toEqual(done);
      await way.once('ControllerPublishVolume');
      await way.once('the workload');
      for (const step of [...STEPS.slice(4), ...STEPS.slice(4)]) await way.once(step);
      await way.untilFree();
    }),
  TIMEOUT_MS,
);

/** A volume's way into a workload and out of it, on one node with one copy. */
class Way {
  readonly cluster: Cluster;
  readonly plugin: CsiPlugin;
  /** The orchestrator's. */
  readonly folder: string;
  readonly targetPath: string;
  readonly #volumeId: string;
  readonly #stagingPath: string;
  /** How long a step took when nobody was killed, or as far as that is known. */
  readonly #durationsMs = new Map<Step, number>();
  #said = '';
  #count = 0;

  constructor(cluster: Cluster, plugin: CsiPlugin, volumeId: string) {
    this.cluster = cluster;
    this.plugin = plugin;
    this.folder = join(cluster.folder, 'orchestrator');
    this.targetPath = join(this.folder, 'pods', 'target');
    this.#stagingPath = join(this.folder, 'staging');
    this.#volumeId = volumeId;
  }

  get count(): number {
    return this.#count;
  }

  /** All steps, with the kill on the way; then a look at what is left. */
  async go({ victim, at, isDuring }: KillPoint): Promise<void> {
    this.#count += 1;
    for (const [index, step] of STEPS.entries()) {
      if (index === at && !isDuring) await this.#kill(victim);
      if (index === at && isDuring) await this.#killDuring(victim, step);
      await this.#untilDone(step);
    }
    if (at === STEPS.length) await this.#kill(victim);
    await this.untilFree();
  }

  /** A step that must work at once. */
  async once(step: Step): Promise<void> {
    if (step === 'the workload') return this.#work();
    expect(await this.call(step)).toMatchObject({ ok: {} });
  }

  async call(step: Exclude<Step, 'the workload'>, more: object = {}): Promise<CsiOutcome> {
    const { client } = this.plugin;
    const limit = { timeoutMs: STEP_TIMEOUT_MS };
    const volumeId = this.#volumeId;
    const nodeId = 'node-1';
    const capability = { mount: {}, accessMode: { mode: 'SINGLE_NODE_WRITER' } };
    const use = { volumeId, volumeCapability: capability };
    const stagingTargetPath = this.#stagingPath;
    const { targetPath } = this;
    switch (step) {
      case 'ControllerPublishVolume':
        return client.controller(step, { ...use, nodeId, ...more }, limit);
      case 'ControllerUnpublishVolume':
        return client.controller(step, { volumeId, nodeId, ...more }, limit);
      case 'NodeStageVolume':
        return client.node(step, { ...use, stagingTargetPath, ...more }, limit);
      case 'NodeUnstageVolume':
        return client.node(step, { volumeId, stagingTargetPath, ...more }, limit);
      case 'NodePublishVolume':
        return client.node(step, { ...use, stagingTargetPath, targetPath, ...more }, limit);
      case 'NodeUnpublishVolume':
        return client.node(step, { volumeId, targetPath, ...more }, limit);
    }
  }

  async untilFree(): Promise<void> {
    await untilFree(this.cluster, this.folder);
  }

  /** A small file system over the folder in which the agent keeps what is attached; it is full. */
  async fillStateFolder() {
    const place = join(this.cluster.folder, 'node-1', 'attachments');
    const ballast = join(place, 'ballast');
    await runOk('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', place]);
    const fill = async () => {
      await writeFile(ballast, Buffer.alloc(MiB)).catch(() => undefined);
    };
    await fill();
    return {
      fill,
      makeRoom: () => writeFile(ballast, ''),
      [Symbol.asyncDispose]: () => runOk('umount', ['--lazy', place]).then(() => undefined),
    };
  }

  /** The same call again until it is done, as an orchestrator does. */
  async #untilDone(step: Step): Promise<void> {
    if (step === 'the workload') return this.#work();
    const begunMs = performance.now();
    const refusals: string[] = [];
    await waitFor(
      step,
      async () => {
        const outcome = await this.call(step);
        if ('ok' in outcome) return true;
        const refusal = `${outcome.code}: ${outcome.message}`;
        if (refusals.at(-1) !== refusal) refusals.push(refusal);
        if (PASSING.includes(outcome.code)) throw new Error(refusal);
        throw new Hopeless(`${step}: ${refusals.join('; ')}`);
      },
      STEP_TIMEOUT_MS,
    );
    if (refusals.length === 0) this.#durationsMs.set(step, performance.now() - begunMs);
  }

  async #work(): Promise<void> {
    const file = join(this.targetPath, 'said');
    if (this.#said !== '') expect(await readFile(file, 'utf8')).toBe(this.#said);
    this.#said += `${this.#count} `;
    await writeFile(file, this.#said, { flush: true });
  }

  /** About in its middle, by what it took before. */
  async #killDuring(victim: Victim, step: Step): Promise<void> {
    if (step === 'the workload') return this.#kill(victim);
    const underWay = this.call(step);
    await delay((this.#durationsMs.get(step) ?? 0) / 2);
    await this.#kill(victim);
    await underWay;
  }

  async #kill(victim: Victim): Promise<void> {
    switch (victim) {
      case 'agent':
        await this.cluster.kill('agent', 'node-1');
        return;
      case 'apiserver':
        await this.cluster.kill('apiserver');
        return;
      case 'target':
        // There is none before it is attached, and after.
        for (const { pid } of await this.cluster.services('target')) endHard(pid);
        return;
      case 'plugin':
        await this.plugin.kill();
        this.plugin.startAgain();
        return;
    }
  }
}

async function withWay(body: (way: Way) => Promise<void>): Promise<void> {
  await withCluster({ nodeCount: 1 }, async (cluster) => {
    const plugin = await CsiPlugin.start({
      agent: cluster.agentAddress('node-1'),
      socketPath: join(cluster.folder, 'test.sock'),
      orchestrator: 'csi',
    });
    await using _plugin = plugin;
    const { id } = await cluster
      .agent('node-1')
      .createVolume({ name: 'data', sizeBytes: 64 * MiB });
    const way = new Way(cluster, plugin, id);
    await mkdir(join(way.folder, 'pods'), { recursive: true });
    await body(way);
    await waitFor(
      'it is deleted',
      async () => 'ok' in (await plugin.client.controller('DeleteVolume', { volumeId: id })),
      STEP_TIMEOUT_MS,
    );
  });
}

function wordsOf({ victim, at, isDuring }: KillPoint): string {
  return `${victim} ${isDuring ? 'during' : 'before'} ${STEPS[at] ?? 'the end'}`;
}
