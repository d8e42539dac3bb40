/** A target process: the real coordinator and remote replicas, as target/main.ts wires them. */
import type { BlockError } from '../../../core/block/block-device.ts';
import type { SimProcess } from '../../../core/platform/sim/index.ts';
import { Op } from '../../../core/wire/frame.ts';
import { RemoteReplica } from '../../../target/remote/remote-replica.ts';
import { Coordinator } from '../../../target/replication/coordinator.ts';
import type { MemberListener, MemberPort } from '../../../target/replication/ports.ts';
import type { Break, StopReason } from '../../../target/replication/state.ts';
import { type Command, textOf } from '../client/command.ts';
import { payloadOf } from '../client/payload.ts';
import type { WorldEvent } from './events.ts';
import type { SimBreak } from './options.ts';
import type { RecordKeeper } from './record-keeper.ts';

export interface TargetOptions {
  readonly instance: string;
  readonly token: string;
  readonly knownDead: readonly string[];
  readonly volumeId: string;
  readonly incarnation: string;
  readonly replicaToken: string;
  readonly sizeBytes: number;
  readonly breaks: ReadonlySet<SimBreak>;
}

export interface TargetDependencies {
  readonly process: SimProcess;
  readonly keeper: RecordKeeper;
  readonly tell: (event: WorldEvent) => void;
}

/** `data` is empty but for reads. */
export type Answered = (error: BlockError | null, data: Buffer) => void;

const NOTHING = Buffer.alloc(0);
const RELEASE_DEADLINE_MS = 30_000;

export class TargetHost {
  readonly instance: string;
  readonly token: string;
  readonly node: string;
  readonly process: SimProcess;
  readonly coordinator: Coordinator;
  readonly startedAtMs: number;
  servingSinceMs: number | null = null;
  stopped: StopReason | null = null;
  /** Its portal takes no commands any more: it is being released. */
  closing = false;
  /** Its members are read behind its back: that is no read of its own. */
  compared = false;
  #gone = false;

  constructor(options: TargetOptions, dependencies: TargetDependencies) {
    const { process, keeper, tell } = dependencies;
    this.instance = options.instance;
    this.token = options.token;
    this.node = process.machine.name;
    this.process = process;
    this.startedAtMs = process.simulation.nowMs;
    const { clock, random, network } = process.platform;
    const actor = { kind: 'target', instance: options.instance } as const;
    this.coordinator = new Coordinator(
      {
        ...options,
        attachmentToken: options.token,
        node: this.node,
        breaks: options.breaks as ReadonlySet<Break>,
      },
      {
        clock,
        random,
        store: keeper.clientFor(process, actor),
        createMember: (id, address, listener) => {
          const remote = new RemoteReplica(
            {
              ...options,
              id,
              address,
              token: options.replicaToken,
              resumesUnordered: options.breaks.has('R15-resume-unordered'),
            },
            { network, clock, listener },
          );
          return this.#watch(remote, listener, tell);
        },
        log: (event, fields) => this.#log(event, fields, tell),
        stopped: (why) => {
          this.stopped = why;
          process.note(`stopped: ${JSON.stringify(why)}`);
          tell({ kind: 'targetStopped', target: this, why });
          // What is on its way out goes out; then the process ends.
          process.simulation.after(1, () => process.kill());
        },
      },
    );
    process.onGone(() => {
      this.#gone = true;
    });
    tell({ kind: 'targetStarted', target: this });
    process.enter(() => this.coordinator.start());
  }

  get gone(): boolean {
    return this.#gone;
  }

  /** It can be given commands, whether it does anything with them or not. */
  get reachable(): boolean {
    return !this.#gone && !this.closing && this.stopped === null;
  }

  get paused(): boolean {
    return this.process.state === 'paused';
  }

  get phase(): string {
    return this.coordinator.state.phase.kind;
  }

  /** It serves, and nobody is to be removed, freed or admitted. */
  get isSettled(): boolean {
    const { phase, members, proposals, freeing } = this.coordinator.state;
    const calm = members.every(
      ({ missed, joining, link }) => missed === null && joining === 'no' && link === 'promised',
    );
    return phase.kind === 'serving' && calm && proposals.length === 0 && freeing.length === 0;
  }

  /** It serves, and every member in sync is there and is to stay. */
  get isSteady(): boolean {
    const { phase, record, members, proposals } = this.coordinator.state;
    const inSync = record?.replicas.filter(({ state }) => state === 'inSync') ?? [];
    const steady = inSync.every(({ id }) => {
      const member = members.find((each) => each.id === id);
      return member?.missed === null && member.link === 'promised' && !member.lostCache;
    });
    return phase.kind === 'serving' && steady && proposals.length === 0;
  }

  /** SIGTERM: no new commands, a flush, then the record says released; or it gives up. */
  release(): void {
    if (this.closing) return;
    this.closing = true;
    this.process.enter(() => {
      this.coordinator.release();
      this.process.platform.clock.timer(RELEASE_DEADLINE_MS, () => this.coordinator.giveUp());
    });
  }

  /** As the portal would, in the target's process; `answered` is called in it too. */
  submit(command: Command, answered: Answered): void {
    const { volume } = this.coordinator;
    this.process.enter(() => {
      this.process.note(`command ${textOf(command)}`);
      const { kind, offsetBytes, lengthBytes } = command;
      switch (kind) {
        case 'read':
          volume.read(offsetBytes, lengthBytes, answered);
          return;
        case 'write':
          volume.write(
            offsetBytes,
            payloadOf(command.entry.id, offsetBytes, lengthBytes),
            (error) => answered(error, NOTHING),
          );
          return;
        case 'unmap':
          volume.unmap(offsetBytes, lengthBytes, (error) => answered(error, NOTHING));
          return;
        case 'flush':
          volume.flush((error) => answered(error, NOTHING));
      }
    });
  }

  #log(
    event: string,
    fields: Readonly<Record<string, unknown>>,
    tell: (event: WorldEvent) => void,
  ): void {
    this.process.note(`${event} ${JSON.stringify(fields)}`);
    if (event === 'rebuildMismatch') {
      tell({ kind: event, target: this, what: JSON.stringify(fields) });
    }
    if (event !== 'phase') return;
    const phase = String(fields['phase']);
    this.servingSinceMs = phase === 'serving' ? this.process.simulation.nowMs : null;
    tell({ kind: 'phase', target: this, phase });
  }

  /** The port as it is, but for what checkers want to know. */
  #watch(
    remote: RemoteReplica,
    _listener: MemberListener,
    tell: (event: WorldEvent) => void,
  ): MemberPort {
    let rebuilding = false;
    return {
      id: remote.id,
      open: () => remote.open(),
      close: () => remote.close(),
      promise: (epoch, instance, done) => remote.promise(epoch, instance, done),
      startPings: (epoch) => remote.startPings(epoch),
      storeRecord: (record, done) => remote.storeRecord(record, done),
      rebuild: (request, done) => {
        if (request.action === 'copy') {
          tell({ kind: 'sourceChosen', target: this, member: request.source.replicaId });
        }
        remote.rebuild(request, done);
      },
      openSession: (key) => {
        rebuilding = key.rebuildId !== null;
        remote.openSession(key);
      },
      holdSession: () => remote.holdSession(),
      dropSession: () => remote.dropSession(),
      submit: (op, range, payload, sink, tag) => {
        if (op === Op.read && !rebuilding && !this.compared) {
          tell({ kind: 'memberRead', target: this, member: remote.id });
        }
        remote.submit(op, range, payload, sink, tag);
      },
    };
  }
}
