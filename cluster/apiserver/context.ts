import type { Clock } from '../../core/platform/clock.ts';
import type { Logger } from '../../core/platform/logger.ts';
import type { Random } from '../../core/platform/random.ts';
import type { Reconciler } from '../reconciler/loop.ts';
import type { Observations } from '../reconciler/observed.ts';
import type { Store } from '../store/store.ts';
import type { Changes } from './changes.ts';
import type { Exclusive } from './exclusive.ts';
import type { NodeRegistry } from './node-registry.ts';
import type { PortalPorts } from './portal-ports.ts';
import type { VolumeDocuments } from './volume-documents.ts';

/** What the handlers work with. */
export interface ClusterContext {
  readonly version: string;
  readonly store: Store;
  readonly volumes: VolumeDocuments;
  readonly observations: Observations;
  readonly nodes: NodeRegistry;
  readonly reconciler: Reconciler;
  readonly changes: Changes;
  readonly portals: PortalPorts;
  /** One placement at a time: each sees what the one before it took. */
  readonly placing: Exclusive;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Of one request. */
export interface Caller {
  /** Aborted when the caller has left or the apiserver stops. */
  readonly signal: AbortSignal;
}

/** Under the clients' limit of 110 s and Docker's of two minutes. */
export const LONG_WAIT_MS = 100_000;
/** Under the clients' default limit of 30 s. */
export const SHORT_WAIT_MS = 25_000;
