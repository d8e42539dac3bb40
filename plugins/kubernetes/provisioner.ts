/**
 * Makes a volume for each claim that asks for one of ours, and takes it away again. Decides nothing
 * by itself: claim-decision.ts and volume-decision.ts do. Every step may be the last one before a
 * crash: what it has begun is found again by the volume's name and by the finalizers.
 */
import { type AgentClient, type AgentVolume, ApiError } from '../../core/api/index.ts';
import { messageOf } from '../../core/errors.ts';
import type { Logger } from '../../core/platform/index.ts';
import { type KubernetesApi, KubernetesError, type KubernetesView } from './api.ts';
import { classNameOf, decideClaim, volumeNameFor } from './claim-decision.ts';
import { requestOf } from './claim-request.ts';
import { type Events, subjectOf } from './events.ts';
import { CLAIM_FINALIZER, SELECTED_NODE, VOLUME_FINALIZER } from './names.ts';
import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from './objects.ts';
import type { ParseYaml } from './parameters.ts';
import { persistentVolumeFor } from './persistent-volume.ts';
import { openebsNodeOf } from './topology.ts';
import { decideVolume } from './volume-decision.ts';

export interface ProvisionerParts {
  readonly api: KubernetesApi;
  readonly view: KubernetesView;
  readonly agent: AgentClient;
  readonly events: Events;
  readonly log: Logger;
  readonly parseYaml: ParseYaml;
  /** Names of provisioners whose classes are served. */
  readonly provisioners: readonly string[];
}

export class Provisioner {
  readonly #parts: ProvisionerParts;

  constructor(parts: ProvisionerParts) {
    this.#parts = parts;
  }

  /** Rejects when it is to be tried again. */
  async reconcileClaim(namespace: string, name: string): Promise<void> {
    const claim = this.#parts.view.claim(namespace, name);
    if (claim === undefined) return;
    try {
      await this.#reconcileClaim(claim);
    } catch (error) {
      await this.#tellFailure(claim, error);
      throw error;
    }
  }

  /** Rejects when it is to be tried again. */
  async reconcileVolume(name: string): Promise<void> {
    const { view, provisioners, api } = this.#parts;
    const seen = view.volume(name);
    if (seen === undefined || decideVolume(seen, provisioners).kind === 'nothing') return;
    // What is deleted does not come back: not on the word of a view that may be late.
    const volume = await api.getVolume(name);
    if (volume === null) return;
    try {
      await this.#reconcileVolume(volume);
    } catch (error) {
      if (!isLostRace(error)) {
        const failed = { type: 'Warning', reason: 'VolumeFailedDelete' } as const;
        const subject = subjectOf('PersistentVolume', volume);
        await this.#parts.events.tell(subject, { ...failed, message: messageOf(error) });
        this.#parts.log.warn('a volume could not be deleted', fieldsOf(error, { volume: name }));
      }
      throw error;
    }
  }

  async #reconcileClaim(claim: PersistentVolumeClaim): Promise<void> {
    const { view, provisioners } = this.#parts;
    const decision = decideClaim(claim, {
      storageClass: view.storageClass(classNameOf(claim)),
      volume: view.volume(volumeNameFor(claim)),
      provisioners,
    });
    switch (decision.kind) {
      case 'nothing':
        return;
      case 'provision':
        return this.#provision(claim, decision.storageClass);
      case 'release':
        return this.#releaseClaim(claim);
      case 'undo':
        return this.#undo(claim);
    }
  }

  async #provision(claim: PersistentVolumeClaim, storageClass: StorageClass): Promise<void> {
    const { api, agent, events, log } = this.#parts;
    const preferredNode = await this.#preferredNode(claim);
    if (preferredNode === 'gone') return api.clearSelectedNode(claim);
    const hasTopologies = (storageClass.allowedTopologies ?? []).length > 0;
    const nodes = hasTopologies ? (await agent.listNodes()).nodes : [];
    const surroundings = { nodes, preferredNode, parseYaml: this.#parts.parseYaml };
    const request = requestOf(claim, storageClass, surroundings);
    // From here on the claim cannot vanish unnoticed, whatever happens to us.
    const held = await this.#holdClaim(claim);
    const volume = await agent.createVolume(request);
    await this.#createPersistentVolume(held, storageClass, volume);
    log.info('a volume was made', { claim: keyOf(claim), volume: volume.name, id: volume.id });
    await events.tell(subjectOf('PersistentVolumeClaim', claim), {
      type: 'Normal',
      reason: 'ProvisioningSucceeded',
      message: `Successfully provisioned volume ${volume.name} (OpenEBS volume ${volume.id})`,
    });
    await this.#releaseClaim(held);
  }

  /** Null: none. `gone`: the scheduler chose a node that is no more. */
  async #preferredNode({ metadata }: PersistentVolumeClaim): Promise<string | null> {
    const selected = metadata.annotations?.[SELECTED_NODE] ?? '';
    if (selected === '') return null;
    const { api } = this.#parts;
    const csiNode = await api.getCsiNode(selected);
    if (csiNode === null && !(await api.hasNode(selected))) return 'gone';
    // Where our driver does not run yet there is nothing to prefer; the volume can be anywhere.
    return openebsNodeOf(csiNode);
  }

  async #createPersistentVolume(
    claim: PersistentVolumeClaim,
    storageClass: StorageClass,
    volume: AgentVolume,
  ): Promise<void> {
    try {
      await this.#parts.api.createVolume(persistentVolumeFor(claim, storageClass, volume));
    } catch (error) {
      // By an earlier try whose answer was lost.
      if (!(error instanceof KubernetesError && error.code === 'exists')) throw error;
    }
  }

  async #holdClaim(claim: PersistentVolumeClaim): Promise<PersistentVolumeClaim> {
    const finalizers = claim.metadata.finalizers ?? [];
    if (finalizers.includes(CLAIM_FINALIZER)) return claim;
    return this.#parts.api.setClaimFinalizers(claim, [...finalizers, CLAIM_FINALIZER]);
  }

  /** As it is now: the volume controller binds it at the same time. */
  async #releaseClaim({ metadata }: PersistentVolumeClaim): Promise<void> {
    const claim = await this.#parts.api.getClaim(metadata.namespace ?? '', metadata.name);
    const { finalizers = [] } = claim?.metadata ?? {};
    if (claim === null || claim.metadata.uid !== metadata.uid) return;
    if (!finalizers.includes(CLAIM_FINALIZER)) return;
    const others = finalizers.filter((finalizer) => finalizer !== CLAIM_FINALIZER);
    await this.#parts.api.setClaimFinalizers(claim, others);
  }

  /** The view may not have seen a volume yet that we made a moment ago: it is asked for. */
  async #undo(claim: PersistentVolumeClaim): Promise<void> {
    const { api, agent, log } = this.#parts;
    const name = volumeNameFor(claim);
    if ((await api.getVolume(name)) === null) {
      await agent.deleteVolume(name);
      log.info('a volume that nobody waits for is deleted', { claim: keyOf(claim), volume: name });
    }
    await this.#releaseClaim(claim);
  }

  async #reconcileVolume(volume: PersistentVolume): Promise<void> {
    const { api, agent, log, provisioners } = this.#parts;
    const decision = decideVolume(volume, provisioners);
    switch (decision.kind) {
      case 'nothing':
        return;
      case 'release':
        return this.#releaseVolume(volume);
      case 'delete': {
        const { volumeId } = decision;
        await agent.deleteVolume(volumeId);
        log.info('a volume was deleted', { volume: volume.metadata.name, id: volumeId });
        await api.deleteVolume(volume);
        const left = await api.getVolume(volume.metadata.name);
        if (left !== null && left.metadata.uid === volume.metadata.uid) {
          await this.#releaseVolume(left);
        }
      }
    }
  }

  async #releaseVolume(volume: PersistentVolume): Promise<void> {
    const { finalizers = [] } = volume.metadata;
    if (!finalizers.includes(VOLUME_FINALIZER)) return;
    const others = finalizers.filter((finalizer) => finalizer !== VOLUME_FINALIZER);
    await this.#parts.api.setVolumeFinalizers(volume, others);
  }

  async #tellFailure(claim: PersistentVolumeClaim, error: unknown): Promise<void> {
    if (isLostRace(error)) return;
    const { events, log } = this.#parts;
    await events.tell(subjectOf('PersistentVolumeClaim', claim), {
      type: 'Warning',
      reason: 'ProvisioningFailed',
      message: messageOf(error),
    });
    log.warn('a claim has no volume yet', fieldsOf(error, { claim: keyOf(claim) }));
  }
}

export function keyOf({ metadata }: PersistentVolumeClaim): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

/** Somebody changed the object meanwhile, which is no news for people. */
function isLostRace(error: unknown): boolean {
  return error instanceof KubernetesError && error.code === 'conflict';
}

/** With its stack where nobody foresaw it. */
function fieldsOf(error: unknown, facts: Readonly<Record<string, string>>) {
  const isForeseen = error instanceof ApiError || error instanceof KubernetesError;
  const stack = !isForeseen && error instanceof Error ? { stack: error.stack } : {};
  return { ...facts, error: messageOf(error), ...stack };
}
