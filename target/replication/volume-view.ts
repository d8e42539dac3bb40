/** From the membership state to what the data path may do. */
import { type BlockError, blockError } from '../../core/block/block-device.ts';
import { inSyncIds } from '../../core/volume/record.ts';
import type { State } from './state.ts';
import { bindingIds, isServing, readableIds } from './views.ts';

/** What the coordinator decides; masks have one bit per slot. */
export interface VolumeView {
  /** Get every write: in sync, or joining. */
  readonly fan: number;
  /** R3: whose answers a state-changing GOOD needs. */
  readonly binding: number;
  /** In the committed record; all others only join, or are being freed. */
  readonly inSync: number;
  /** May answer reads. */
  readonly readable: number;
  /** The slot to read from if it is readable; -1: any. */
  readonly preferred: number;
  readonly reads: boolean;
  readonly writes: boolean;
  /** Set: every command fails with it (R15). */
  readonly failure: BlockError | null;
}

/** Before there is a record, and after the end. */
export const CLOSED: VolumeView = {
  fan: 0,
  binding: 0,
  inSync: 0,
  readable: 0,
  preferred: -1,
  reads: false,
  writes: false,
  failure: null,
};

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
