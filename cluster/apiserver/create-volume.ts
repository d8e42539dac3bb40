import { ApiError, apiError } from '../../core/api/errors.ts';
import type { CreateVolume, VolumeView } from '../../core/api/volumes.ts';
import type { CreateFailure, VolumeDocument } from '../reconciler/volume.ts';
import { NODES, volumeTopic, waitFor } from './changes.ts';
import { type Caller, type ClusterContext, LONG_WAIT_MS } from './context.ts';
import { checkOptions, differingOption } from './options.ts';
import { newVolume } from './placement.ts';
import { volumeView } from './volume-view.ts';
import { isStuck, waitsFor } from './waiting.ts';

/**
 * Places the volume, and waits until the reconciler has made it. Idempotent: the same again
 * joins the wait, or gives the volume that is there.
 */
export async function createVolume(
  context: ClusterContext,
  request: CreateVolume,
  { signal }: Caller,
): Promise<VolumeView> {
  checkOptions(request);
  const creation = new Creation(context, request);
  const { clock, changes } = context;
  const ready = await waitFor(
    {
      changes,
      topics: [volumeTopic(request.name), NODES],
      clock,
      deadlineMs: clock.nowMs() + LONG_WAIT_MS,
      signal,
    },
    () => creation.look(),
  );
  if (ready !== null) return ready;
  throw await creation.late();
}

class Creation {
  readonly #context: ClusterContext;
  readonly #request: CreateVolume;
  /** The volume that is waited for, once there is one. */
  #awaitedId: string | null = null;
  #failure: CreateFailure | null = null;

  constructor(context: ClusterContext, request: CreateVolume) {
    this.#context = context;
    this.#request = request;
  }

  async look(): Promise<VolumeView | undefined> {
    const found = await this.#context.volumes.find(this.#request.name);
    if (found === null) return this.#absent();
    const { volume } = found;
    switch (volume.phase.kind) {
      case 'deleting':
        return this.#deleting(volume, volume.phase.failure);
      case 'creating':
        this.#join(volume);
        return undefined;
      case 'ready':
        this.#join(volume);
        return this.#view(volume);
    }
  }

  async late(): Promise<ApiError> {
    const { name } = this.#request;
    const found = await this.#context.volumes.find(name);
    if (this.#failure !== null) return this.#failed(this.#failure, found?.volume ?? null);
    const what = found === null ? 'nodes that are starting' : this.#waitsFor(found.volume);
    return apiError(
      'unavailable',
      `volume "${name}" is not ready yet: it waits for ${what}; create it again to go on waiting`,
      { volume: name },
    );
  }

  async #absent(): Promise<undefined> {
    if (this.#failure !== null) throw this.#failed(this.#failure, null);
    if (this.#awaitedId !== null) throw this.#deletedMeanwhile();
    await this.#context.placing.run(() => this.#place());
  }

  async #place(): Promise<void> {
    const { volumes, nodes } = this.#context;
    // Somebody may have made it while this one waited for its turn.
    if ((await volumes.find(this.#request.name)) !== null) return;
    // After a start the default count would be taken from the few nodes heard so far.
    const isSettled = nodes.isSettled();
    if (!isSettled && this.#request.replicas === undefined) return;
    try {
      const volume = await newVolume(this.#context, this.#request, await volumes.list());
      if (await volumes.create(volume)) this.#awaitedId = volume.id;
    } catch (error) {
      if (isSettled || !(error instanceof ApiError)) throw error;
    }
  }

  /** Its own undoing, or the end of an earlier volume of that name: waited for, if it can come. */
  #deleting(volume: VolumeDocument, failure: CreateFailure | null): undefined {
    const { name } = this.#request;
    const isStuckNow = isStuck(volume, this.#context.observations.nodes());
    if (volume.id === this.#awaitedId) {
      if (failure === null) throw this.#deletedMeanwhile();
      this.#failure = failure;
      if (isStuckNow) throw this.#failed(failure, volume);
    } else if (isStuckNow) {
      throw apiError(
        'unavailable',
        `volume "${name}" is still being deleted: its name is free once that has ended, which ` +
          `waits for ${this.#waitsFor(volume)}`,
        { volume: name },
      );
    }
    return undefined;
  }

  /** @throws ApiError `exists` when it is there with other options. */
  #join(volume: VolumeDocument): void {
    this.#awaitedId = volume.id;
    this.#failure = null;
    const { name } = this.#request;
    const difference = differingOption(volume.options, this.#request);
    if (difference === null) return;
    throw apiError(
      'exists',
      `volume "${name}" exists with other options: ${difference}; use another name, or delete ` +
        'it first',
      { volume: name },
    );
  }

  #view(volume: VolumeDocument): VolumeView {
    const { observations, reconciler } = this.#context;
    return volumeView(volume, observations.nodes(), reconciler.hindrances(volume.id));
  }

  #waitsFor(volume: VolumeDocument): string {
    const { observations, reconciler } = this.#context;
    return waitsFor(volume, observations.nodes(), reconciler.hindrances(volume.id));
  }

  /** @param left what is still to be undone. */
  #failed({ code, detail }: CreateFailure, left: VolumeDocument | null): ApiError {
    const undone =
      left === null
        ? 'nothing was made'
        : `what was made so far is removed, which waits for ${this.#waitsFor(left)}`;
    return apiError(code, `${detail}; ${undone}`, { volume: this.#request.name });
  }

  #deletedMeanwhile(): ApiError {
    const { name } = this.#request;
    const detail = `volume "${name}" was deleted while it was being made`;
    return apiError('unavailable', detail, { volume: name });
  }
}
