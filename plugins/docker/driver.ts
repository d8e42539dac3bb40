import {
  type AgentClient,
  type AgentVolume,
  ApiError,
  apiError,
  badRequestFrom,
  createVolumeSchema,
  isRefusal,
} from '../../core/api/index.ts';
import { parseVolumeOptions } from '../../core/api/options.ts';
import { messageOf } from '../../core/errors.ts';
import { formatBytes } from '../../core/units.ts';
import { consumerOf, type Fields, nameOf, optionsOf } from './requests.ts';
import { Turns } from './turns.ts';

export interface PluginLog {
  info(message: string, fields: Readonly<Record<string, unknown>>): void;
  error(message: string, fields: Readonly<Record<string, unknown>>): void;
}

/** dockerd waits 2 min for Create and Mount and 1 min for the rest; we answer before. */
const LONG_DEADLINE_MS = 110_000;
const DEADLINE_MS = 50_000;
/** A look at who holds the volume before a Mount; without an answer it is taken as held. */
const HELD_DEADLINE_MS = 5_000;

/** What a call gets besides its fields. */
export interface Call {
  /** Aborted when dockerd hangs up before it has its answer. */
  readonly hungUp: AbortSignal;
}

type Answer = Readonly<Record<string, unknown>>;

/** What each endpoint means for the agent. Holds no state but the calls under way. */
export class VolumeDriver {
  readonly #agent: AgentClient;
  readonly #log: PluginLog;
  readonly #turns = new Turns();

  constructor(agent: AgentClient, log: PluginLog) {
    this.#agent = agent;
    this.#log = log;
  }

  /** Every endpoint by its path. */
  readonly endpoints: ReadonlyMap<string, (fields: Fields, call: Call) => Promise<Answer>> =
    new Map([
      ['/Plugin.Activate', async () => ({ Implements: ['VolumeDriver'] })],
      ['/VolumeDriver.Capabilities', async () => ({ Capabilities: { Scope: 'global' } })],
      ['/VolumeDriver.Create', (fields) => this.#create(fields)],
      ['/VolumeDriver.Remove', (fields, call) => this.#remove(fields, call)],
      ['/VolumeDriver.Mount', (fields, call) => this.#mount(fields, call)],
      ['/VolumeDriver.Unmount', (fields) => this.#unmount(fields)],
      ['/VolumeDriver.Path', (fields, call) => this.#path(fields, call)],
      ['/VolumeDriver.Get', (fields, call) => this.#get(fields, call)],
      ['/VolumeDriver.List', (_fields, call) => this.#list(call)],
    ] as const);

  /** Goes on when dockerd hangs up: the next Create finds the volume made, or being made. */
  async #create(fields: Fields): Promise<Answer> {
    const name = nameOf(fields);
    const request = createVolumeSchema.safeParse(parseVolumeOptions(name, optionsOf(fields)));
    if (!request.success) throw badRequestFrom(request.error);
    await this.#agent.createVolume(request.data, { timeoutMs: LONG_DEADLINE_MS });
    return {};
  }

  /** A volume that is gone already is removed. */
  async #remove(fields: Fields, { hungUp }: Call): Promise<Answer> {
    const limits = { timeoutMs: DEADLINE_MS, signal: hungUp };
    try {
      await this.#agent.deleteVolume(nameOf(fields), limits);
    } catch (error) {
      if (!hasCode(error, 'notFound')) throw error;
    }
    return {};
  }

  async #mount(fields: Fields, call: Call): Promise<Answer> {
    const name = nameOf(fields);
    const consumer = consumerOf(fields);
    return this.#turns.run(turnOf(name, consumer), () => this.#mountInTurn(name, consumer, call));
  }

  async #mountInTurn(name: string, consumer: string | null, call: Call): Promise<Answer> {
    // dockerd is gone and has asked for nothing yet that would have to be undone.
    call.hungUp.throwIfAborted();
    const until = Date.now() + LONG_DEADLINE_MS;
    const heldBefore = consumer === null || (await this.#isHeld(name, consumer));
    try {
      const timeoutMs = Math.max(1, until - Date.now());
      const body = { ...holderFields(consumer), as: 'mount' } as const;
      const { mountpoint } = await this.#agent.attach(name, body, { timeoutMs });
      if (mountpoint === null) {
        throw apiError('internal', `volume "${name}": the agent attached it but did not mount it`);
      }
      call.hungUp.throwIfAborted();
      return { Mountpoint: mountpoint };
    } catch (error) {
      // A refusal left no reference behind. Anything else may have, and dockerd sends no Unmount
      // for a Mount that failed.
      if (!heldBefore && !isRefusal(error)) await this.#undoMount(name, consumer);
      throw error;
    }
  }

  /** The agent's word, or true without one: a reference that is not ours is never dropped. */
  async #isHeld(name: string, consumer: string): Promise<boolean> {
    try {
      const volume = await this.#agent.getVolume(name, { timeoutMs: HELD_DEADLINE_MS });
      return volume.consumers.includes(consumer);
    } catch {
      return true;
    }
  }

  async #undoMount(name: string, consumer: string | null): Promise<void> {
    try {
      const limits = { timeoutMs: DEADLINE_MS };
      await this.#agent.detach(name, heldBy(consumer), limits);
    } catch (error) {
      const fields = { volume: name, consumer, error: messageOf(error) };
      this.#log.error('could not undo a mount that dockerd gave up', fields);
    }
  }

  /**
   * Goes on when dockerd hangs up. A volume that is gone is not mounted. One that is busy is: this
   * ID has let go, and the agent unmounts it when the others have. dockerd mounts and unmounts for
   * `docker cp` under the ID of the container that runs, and counts what fails as still mounted.
   */
  async #unmount(fields: Fields): Promise<Answer> {
    const name = nameOf(fields);
    const consumer = consumerOf(fields);
    await this.#turns.run(turnOf(name, consumer), async () => {
      const limits = { timeoutMs: DEADLINE_MS };
      try {
        await this.#agent.detach(name, heldBy(consumer), limits);
      } catch (error) {
        if (hasCode(error, 'inUse')) {
          this.#log.info('still mounted after an unmount', { volume: name, why: messageOf(error) });
        } else if (!hasCode(error, 'notFound')) {
          throw error;
        }
      }
    });
    return {};
  }

  async #path(fields: Fields, call: Call): Promise<Answer> {
    return { Mountpoint: (await this.#volume(fields, call)).mountpoint };
  }

  async #get(fields: Fields, call: Call): Promise<Answer> {
    return { Volume: volumeAnswer(await this.#volume(fields, call)) };
  }

  async #list({ hungUp }: Call): Promise<Answer> {
    const limits = { timeoutMs: DEADLINE_MS, signal: hungUp };
    const { volumes } = await this.#agent.listVolumes(limits);
    return { Volumes: volumes.map(volumeAnswer) };
  }

  async #volume(fields: Fields, { hungUp }: Call): Promise<AgentVolume> {
    const name = nameOf(fields);
    const limits = { timeoutMs: DEADLINE_MS, signal: hungUp };
    // A name that no volume can have is not found, and not a path to ask the agent for.
    const valid = createVolumeSchema.shape.name.safeParse(name).success;
    const volume = valid ? await this.#agent.getVolume(name, limits) : undefined;
    // The agent also finds by id. dockerd would then count one volume under two names.
    if (volume?.name === name) return volume;
    const shown = JSON.stringify(name.slice(0, 128));
    throw apiError('notFound', `volume ${shown} does not exist`, { volume: name.slice(0, 128) });
  }
}

function volumeAnswer(volume: AgentVolume): Answer {
  return {
    Name: volume.name,
    Mountpoint: volume.mountpoint,
    // dockerd reads it as RFC 3339 and drops the whole answer if it is anything else.
    ...(isTime(volume.createdAt) ? { CreatedAt: new Date(volume.createdAt).toISOString() } : {}),
    Status: {
      id: volume.id,
      size: formatBytes(volume.sizeBytes),
      replicas: volume.replicas,
      fs: volume.fileSystem,
      condition: volume.condition,
      ...(volume.message === '' ? {} : { message: volume.message }),
      consumers: volume.consumers,
    },
  };
}

function isTime(text: string): boolean {
  return Number.isFinite(Date.parse(text));
}

function heldBy(consumer: string | null) {
  return { ...(consumer === null ? {} : { consumer }), door: 'docker' } as const;
}

/** For "in use by". The engine tells the mount's id, and nothing of the container. */
function holderFields(consumer: string | null) {
  const label = consumer === null ? 'a mount without an id' : `mount ${shortId(consumer)}`;
  return { ...heldBy(consumer), label };
}

/** As Docker shows its ids. */
function shortId(consumer: string): string {
  return consumer.replace(/^docker:/, '').slice(0, 12);
}

function turnOf(name: string, consumer: string | null): string {
  return JSON.stringify([name, consumer]);
}

function hasCode(error: unknown, code: ApiError['data']['code']): boolean {
  return error instanceof ApiError && error.data.code === code;
}
