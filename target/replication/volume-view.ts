/** From the membership state to what the data path may do. */
import { blockError } from '../../core/block/block-device.ts';
import { inSyncIds } from '../../core/volume/record.ts';
import type { State } from './state.ts';
import { bindingIds, isServing, readableIds } from './views.ts';
import type { VolumeView } from './volume.ts';

export interface ViewContext {
  readonly slotOf: (id: string) => number;
  /** Members that get live writes for their rebuild (R22). */
  readonly live: readonly string[];
  /** This target's node: its replica is read first. */
  readonly node: string;
  /** The lease of an earlier target is over (R11). */
  readonly writesOpen: boolean;
}

export function viewOf(state: State, context: ViewContext): VolumeView {
  const maskOf = (ids: readonly string[]): number =>
    ids.reduce((mask, id) => mask | (1 << context.slotOf(id)), 0);
  const binding = bindingIds(state);
  const serving = isServing(state);
  const inSync = state.record === null ? [] : inSyncIds(state.record);
  const enough = state.record !== null && inSync.length >= state.record.minInSync;
  const local = state.record?.replicas.find((member) => member.node === context.node);
  return {
    // Whoever binds gets every write, up to the moment it is freed (R3).
    fan: maskOf([...binding, ...context.live]),
    binding: maskOf(binding),
    inSync: maskOf(inSync),
    readable: maskOf(readableIds(state)),
    preferred: local === undefined ? -1 : context.slotOf(local.id),
    reads: serving,
    writes: serving && context.writesOpen && enough,
    failure: state.phase.kind === 'cachesLost' ? blockError('cachesLost', state.waitingFor) : null,
  };
}
