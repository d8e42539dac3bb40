/** Three machines with a replica each, a target on one of them, a store, and initiators. */
import type { BlockError } from '../../../core/block/block-device.ts';
import { messageOf } from '../../../core/errors.ts';
import type { SimMachine, SimRandom, Simulation } from '../../../core/platform/sim/index.ts';
import type { VolumeRecord } from '../../../core/volume/record.ts';
import { simulate } from '../../fixtures/simulation.ts';
import type { Command } from '../client/command.ts';
import { History, type Violation, type WriteEntry } from '../client/history.ts';
import { Initiator, type InitiatorHost } from '../client/initiator.ts';
import { Workload } from '../client/workload.ts';
import { ControlPlane } from './control-plane.ts';
import type { WorldEvent } from './events.ts';
import { FAST, type FaultName, FaultPlan } from './faults.ts';
import { Health } from './health.ts';
import { Intermissions } from './intermission.ts';
import { lossIsLegitimate } from './loss.ts';
import { NodeAgent } from './node-agent.ts';
import { drawOptions, type WorldOptions } from './options.ts';
import { FAIR_WEATHER, RecordKeeper } from './record-keeper.ts';
import { POOL_PATH, ReplicaHost } from './replica-host.ts';
import { TargetHost } from './target-host.ts';

const NODES = ['n1', 'n2', 'n3'] as const;
const TICK_MS = 250;
const REPLICA_TOKEN = 'the token of the replicas';

export class World implements InitiatorHost {
  readonly simulation: Simulation;
  readonly options: WorldOptions;
  readonly nodes: readonly string[] = NODES;
  readonly keeper: RecordKeeper;
  readonly controlPlane: ControlPlane;
  readonly faults: FaultPlan;
  readonly health: Health;
  readonly intermissions: Intermissions;
  readonly history: History;
  readonly workload: Workload;
  readonly replicas: ReplicaHost[] = [];
  readonly targets: TargetHost[] = [];
  readonly initiators: Initiator[] = [];
  /** By node: when it lost its power. */
  readonly powerLosses: { readonly node: string; readonly atMs: number }[] = [];
  /** No agent starts anything any more. */
  over = false;
  lostCount = 0;
  readonly #agents = new Map<string, NodeAgent>();
  readonly #random: SimRandom;
  readonly #volumeId: string;
  readonly #incarnation: string;
  #heard: (event: WorldEvent) => void = () => undefined;
  #orphans: { readonly entry: WriteEntry; readonly epoch: number }[] = [];
  readonly #answeredBy = new Set<TargetHost>();
  #lastServed: TargetHost | null = null;
  #issuing = true;
  #holding = false;
  #commandCount = 0;
  #replicaCount: number = NODES.length;

  private constructor(simulation: Simulation, options: WorldOptions) {
    this.simulation = simulation;
    this.options = options;
    this.#random = simulation.fork('world');
    this.#volumeId = this.#random.uuid();
    this.#incarnation = this.#random.uuid();
    this.history = new History(options.sizeBytes);
    this.workload = new Workload(options.workload, simulation.fork('areas'));
    const ids = NODES.map((_node, index) => `r${index + 1}`);
    this.keeper = new RecordKeeper(simulation, this.#firstRecord(ids), options.breaks);
    this.controlPlane = new ControlPlane(this);
    this.faults = new FaultPlan(this);
    this.health = new Health(this);
    this.intermissions = new Intermissions(this);
  }

  static async open(seed: number | string, given: Partial<WorldOptions> = {}): Promise<World> {
    const simulation = simulate(seed);
    const options = drawOptions(seed, simulation.fork('options'), given);
    const world = new World(simulation, options);
    await world.#build();
    return world;
  }

  get nowMs(): number {
    return this.simulation.nowMs;
  }

  /** Where the record says that the volume is attached. */
  get attachedNode(): string | null {
    return this.keeper.current.record.attachment?.node ?? null;
  }

  /** The target that the record names, if it is there. */
  get currentTarget(): TargetHost | null {
    const { targetInstance } = this.keeper.current.record;
    return this.targets.find((each) => each.reachable && each.instance === targetInstance) ?? null;
  }

  listen(heard: (event: WorldEvent) => void): void {
    this.#heard = heard;
    this.keeper.onCommit = (commit) => heard({ kind: 'committed', commit });
  }

  start(): void {
    for (const agent of this.#agents.values()) agent.start();
    this.controlPlane.start();
    this.intermissions.start();
    this.controlPlane.attach(this.#random.pick(NODES));
    this.#tickLater();
  }

  machine(node: string): SimMachine {
    return this.simulation.machine(node);
  }

  agentOf(node: string): NodeAgent {
    const agent = this.#agents.get(node);
    if (agent === undefined) throw new Error(`there is no node ${node}`);
    return agent;
  }

  otherNode(node: string, random: SimRandom): string {
    const others = NODES.filter((each) => each !== node);
    return others[random.below(others.length)] ?? NODES[0];
  }

  trouble(node: string, durationMs: number): void {
    this.health.trouble(node, durationMs);
  }

  losePower(node: string): void {
    if (!this.machine(node).up || this.#lostOneCounts) return;
    this.powerLosses.push({ node, atMs: this.nowMs });
    for (const initiator of this.initiators) if (initiator.node === node) initiator.end();
    this.machine(node).losePower();
    this.#heard({ kind: 'powerLost', node });
  }

  /**
   * A replica is gone for good, and still counts: who has no cache now has nothing, and nobody but
   * an operator could say what is left.
   */
  get #lostOneCounts(): boolean {
    const { replicas } = this.keeper.current.record;
    return this.replicas.some(
      ({ lost, id }) => lost && replicas.some((each) => each.id === id && each.state === 'inSync'),
    );
  }

  boot(node: string): void {
    this.machine(node).boot();
  }

  newTarget(machine: SimMachine, token: string, knownDead: readonly string[]): TargetHost {
    const instance = this.#random.uuid();
    const { sizeBytes, breaks } = this.options;
    const target = new TargetHost(
      {
        instance,
        token,
        knownDead,
        sizeBytes,
        breaks,
        volumeId: this.#volumeId,
        incarnation: this.#incarnation,
        replicaToken: REPLICA_TOKEN,
      },
      {
        process: machine.process('target'),
        keeper: this.keeper,
        tell: (event) => this.#heard(event),
      },
    );
    this.targets.push(target);
    target.process.onGone(() => {
      for (const initiator of this.initiators) initiator.targetGone(target);
    });
    this.#ensureInitiator(token, machine.name);
    return target;
  }

  /** Mints a replica with a folder of its own; null when that failed. */
  async newReplica(machine: SimMachine): Promise<ReplicaHost | null> {
    this.#replicaCount += 1;
    const id = `r${this.#replicaCount}`;
    const host = this.#replicaHost(machine, id);
    try {
      await host.create(null);
    } catch (error) {
      this.note('control plane', `no new replica: ${messageOf(error)}`);
      return null;
    }
    this.#adopt(host);
    this.agentOf(machine.name).startReplica(host);
    return host;
  }

  retire(replica: ReplicaHost): void {
    const { replicas } = this.agentOf(replica.node);
    replicas.splice(replicas.indexOf(replica), 1);
    this.replicas.splice(this.replicas.indexOf(replica), 1);
    replica.process?.kill();
  }

  /** R6: what a replica had is gone, or is not what it was. Only while others have it all. */
  async loseFolder(replica: ReplicaHost, how: 'removed' | 'emptied' | 'damaged'): Promise<void> {
    const { replicas } = this.keeper.current.record;
    const others = replicas.filter(({ id, state }) => state === 'inSync' && id !== replica.id);
    const { currentTarget } = this;
    const well = others.filter(({ id }) => {
      const member = currentTarget?.coordinator.state.members.find((each) => each.id === id);
      return member?.link === 'promised' && member.missed === null && !member.lostCache;
    });
    if (currentTarget?.phase !== 'serving' || well.length < 2 || !replica.machine.up) return;
    this.lostCount += 1;
    replica.lost = true;
    replica.held = true;
    replica.process?.kill({ reapedAtOnce: true });
    const agent = replica.machine.process('operator');
    agent.onGone(() => {
      replica.held = false;
    });
    const { files } = agent.platform;
    try {
      if (how === 'damaged') {
        await files.replaceWhole(`${replica.path}/identity.json`, Buffer.from('{"formatVer'));
      } else {
        await files.remove(replica.path);
        if (how === 'emptied') await files.makeFolder(replica.path);
        await files.syncFolder(`${POOL_PATH}/replicas`);
      }
    } catch (error) {
      this.note('operator', `could not lose the folder: ${messageOf(error)}`);
    }
    agent.kill();
  }

  /** Every target that has no initiator gets none any more, and no lane issues anything new. */
  quiesce(): void {
    this.#issuing = false;
    for (const initiator of this.initiators) initiator.quiesce();
  }

  /** Nothing goes wrong any more, and what was off is on again. */
  heal(): void {
    const { network } = this.simulation;
    this.faults.stop();
    network.heal();
    this.keeper.away = false;
    this.keeper.cutOff.clear();
    this.keeper.weather = FAIR_WEATHER;
    for (const node of NODES) {
      this.boot(node);
      const machine = this.machine(node);
      machine.disk(POOL_PATH).clearFaults();
      machine.disk(POOL_PATH).latency = FAST;
      for (const process of machine.processes) process.resume();
    }
    this.note('world', 'healed');
  }

  /** A target serves, and every replica is in sync and is what the record names. */
  get isWhole(): boolean {
    const { record } = this.keeper.current;
    const { currentTarget } = this;
    return (
      currentTarget !== null &&
      currentTarget.isSettled &&
      currentTarget.token === record.attachment?.token &&
      this.replicas.length === record.replicas.length &&
      // One whose folder the operator wanted to lose, when the power went first, is among them.
      this.replicas.every((replica) => replica.running) &&
      record.replicas.every(({ state }) => state === 'inSync')
    );
  }

  /**
   * Nobody in sync is left whose medium kept everything, or who is there at all: an operator must say
   * whether what there is is enough (R6, R14, R15).
   */
  get needsOperator(): boolean {
    const { currentTarget } = this;
    if (currentTarget === null) return false;
    const { record, members } = currentTarget.coordinator.state;
    const inSync = members.filter(({ id }) =>
      record?.replicas.some((each) => each.id === id && each.state === 'inSync'),
    );
    const lost = new Set(this.replicas.filter((each) => each.lost).map(({ id }) => id));
    const failed = inSync.filter(
      ({ id, facts, link }) => facts?.failed === true || (link !== 'promised' && lost.has(id)),
    );
    return (
      failed.length > 0 && inSync.every((member) => failed.includes(member) || member.lostCache)
    );
  }

  /** No command is in flight anywhere. */
  get isQuiet(): boolean {
    return this.initiators.every(({ openCommands }) => openCommands.length === 0);
  }

  /** Asks the target to release the volume; its agent starts no other. */
  release(): void {
    this.over = true;
    this.currentTarget?.release();
  }

  get isReleased(): boolean {
    const { targetInstance, releasedBy } = this.keeper.current.record;
    return targetInstance === releasedBy && this.targets.every((target) => target.gone);
  }

  get commandCount(): number {
    return this.#commandCount;
  }

  /** The run was given this fault, whether it has happened yet or not. */
  mayHappen(name: FaultName): boolean {
    const { faults, plan } = this.options;
    return faults.includes(name) || plan.some(({ fault }) => fault === name);
  }

  /** No new commands for a while. */
  holdIssuing(): void {
    this.#holding = true;
    for (const initiator of this.initiators) initiator.quiesce();
  }

  goOnIssuing(): void {
    this.#holding = false;
    if (!this.#issuing) return;
    for (const initiator of this.initiators) if (!initiator.ended) initiator.start();
  }

  tell(event: WorldEvent): void {
    this.#heard(event);
  }

  /** Of the attachment that the record names now. */
  get initiator(): Initiator | null {
    const token = this.keeper.current.record.attachment?.token;
    return this.initiators.find((each) => each.token === token && !each.ended) ?? null;
  }

  after(delayMs: number, act: () => void): void {
    this.simulation.after(delayMs, act);
  }

  note(where: string, what: string): void {
    this.simulation.note(where, what);
  }

  newId(): number {
    this.#commandCount += 1;
    return this.#commandCount;
  }

  targetOf(initiator: Initiator): TargetHost | null {
    const { target } = this.agentOf(initiator.node);
    return target?.token === initiator.token ? target : null;
  }

  targetAnswers(target: TargetHost, command: Command, error: BlockError | null): void {
    this.#heard({ kind: 'answered', target, command, error });
  }

  answerTaken(target: TargetHost, _command: Command, error: BlockError | null): void {
    if (error !== null || this.#answeredBy.has(target)) return;
    this.#answeredBy.add(target);
    this.#closeOrphans(target.coordinator.state.record?.epoch ?? 0);
  }

  impossible(command: Command, violation: Violation): void {
    this.#heard({ kind: 'impossibleRead', command, violation });
  }

  orphaned(command: Command, epoch: number): void {
    if (command.kind === 'write' || command.kind === 'unmap') {
      this.#orphans.push({ entry: command.entry, epoch });
    }
  }

  /** A target of a higher epoch has answered: what the lower ones did not do is never done. */
  #closeOrphans(epoch: number): void {
    for (const orphan of this.#orphans) {
      if (orphan.epoch < epoch) this.history.closeWrite(orphan.entry, this.nowMs);
    }
    this.#orphans = this.#orphans.filter((orphan) => orphan.epoch >= epoch);
  }

  /**
   * Before a target of another attachment serves: where all caches were lost, what was not
   * flushed may be gone (R15). Nowhere else.
   */
  startsServing(target: TargetHost): void {
    const before = this.#lastServed;
    this.#lastServed = target;
    if (before === null || before.token === target.token) return;
    if (!lossIsLegitimate(this)) return;
    this.note('history', 'all caches were lost: what was not flushed may be gone');
    this.history.loseUnflushed();
  }

  #tickLater(): void {
    this.simulation.after(TICK_MS, () => {
      if (this.over) return;
      this.health.look();
      this.#tendInitiators();
      this.#heard({ kind: 'tick' });
      this.#tickLater();
    });
  }

  /** Those whose attachment and target are gone end; an attachment with a target has one. */
  #tendInitiators(): void {
    const current = this.keeper.current.record.attachment;
    for (const initiator of this.initiators) {
      const { target } = this.agentOf(initiator.node);
      const away = initiator.token !== current?.token && target?.token !== initiator.token;
      if (away) initiator.end();
    }
    if (current === null) return;
    const { target } = this.agentOf(current.node);
    if (target?.token === current.token) this.#ensureInitiator(current.token, current.node);
  }

  #ensureInitiator(token: string, node: string): void {
    if (this.initiators.some((each) => each.token === token && !each.ended)) return;
    const { depth, thinkMs } = this.options;
    const name = `initiator ${this.initiators.length + 1}`;
    const random = this.simulation.fork(name);
    const initiator = new Initiator({ name, token, node, depth, thinkMs }, this, random);
    this.initiators.push(initiator);
    if (this.#issuing && !this.#holding) initiator.start();
  }

  #firstRecord(ids: readonly string[]): VolumeRecord {
    return {
      formatVersion: 1,
      volumeId: this.#volumeId,
      incarnation: this.#incarnation,
      epoch: 0,
      generation: 1,
      targetInstance: null,
      releasedBy: null,
      attachment: null,
      replicas: ids.map((id, index) => ({ id, node: NODES[index] ?? 'n1', state: 'inSync' })),
      sizeBytes: this.options.sizeBytes,
      blockSizeBytes: 512,
      fileSystem: { kind: 'none', uuid: null, state: 'blank' },
      snapshots: [],
      reservations: [],
      minInSync: 1,
    };
  }

  async #build(): Promise<void> {
    const { record } = this.keeper.current;
    for (const { id, node } of record.replicas) {
      const machine = this.machine(node);
      const disk = machine.newDisk('pool', {
        capacityBytes: this.options.poolBytes,
        latency: FAST,
      });
      machine.mount(POOL_PATH, disk);
      const { files } = machine.process('setup').platform;
      const pool = Buffer.from(JSON.stringify({ formatVersion: 1, poolId: poolIdOf(node) }));
      await this.simulation.finish(files.replaceWhole(`${POOL_PATH}/pool.json`, pool));
      this.#agents.set(node, new NodeAgent(this, machine));
      const host = this.#replicaHost(machine, id);
      await this.simulation.finish(host.create(record));
      this.#adopt(host);
    }
  }

  #adopt(host: ReplicaHost): void {
    this.replicas.push(host);
    this.agentOf(host.node).replicas.push(host);
  }

  #replicaHost(machine: SimMachine, replicaId: string): ReplicaHost {
    return new ReplicaHost(machine, {
      replicaId,
      volumeId: this.#volumeId,
      incarnation: this.#incarnation,
      poolId: poolIdOf(machine.name),
      token: REPLICA_TOKEN,
      sizeBytes: this.options.sizeBytes,
      breaks: this.options.breaks,
    });
  }
}

function poolIdOf(node: string): string {
  return `pool-${node}`;
}
