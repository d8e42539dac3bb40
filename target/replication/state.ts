/**
 * What the membership machine knows, hears and wants. All plain data: the same machine runs in a
 * target, in the simulator and in the explorer that walks every order of events in small scope.
 */
import type { VolumeRecord } from '../../core/volume/record.ts';

/** A promise as a replica stored it. */
export interface PromiseFacts {
  readonly epoch: number;
  readonly instance: string;
  /** Boot and mount under which the replica was last known to have everything, as one text. */
  readonly cache: string;
}

/** What a replica said of itself in its hello. */
export interface MemberFacts {
  /** Its highest promise; epoch 0: none yet. */
  readonly promise: PromiseFacts;
  /** What that promise replaced; epoch 0: none. */
  readonly previous: PromiseFacts;
  /** Boot and mount now, as one text. */
  readonly cache: string;
  /** Its durable copy of the record; null: none (or not readable). */
  readonly copy: CopyFacts | null;
  readonly failed: boolean;
}

export interface CopyFacts {
  readonly epoch: number;
  readonly generation: number;
  readonly attachmentToken: string | null;
}

export interface MemberView {
  readonly id: string;
  /** away: no control connection. inspected: it said hello. promised: this epoch is promised. */
  readonly link: 'away' | 'inspected' | 'promising' | 'promised';
  readonly facts: MemberFacts | null;
  /** Its cache held writes that may not have been flushed, and is gone (R15). */
  readonly lostCache: boolean;
  /** Why it is to be removed (R17); null: it is not. */
  readonly missed: string | null;
  /** It answered a change with an error that others did: it is behind, however well it answers. */
  readonly diverged: boolean;
  /** It answered at this epoch since the last member missed: it can be a keeper (R17). */
  readonly answeredSince: boolean;
  /** Highest generation of the record known durable in its copy, and the highest sent to it. */
  readonly copyGeneration: number;
  readonly copySent: number;
  /** bound: past its checksum barrier (R3, R24). ready: verified and durable, to be proposed. */
  readonly joining: 'no' | 'bound' | 'ready';
}

export type Phase =
  | { readonly kind: 'reading' }
  | { readonly kind: 'inspecting' }
  | { readonly kind: 'claiming' }
  | { readonly kind: 'promising' }
  | { readonly kind: 'equalising' }
  | { readonly kind: 'serving' }
  /** All lost their caches under this very attachment: commands fail until a new attach (R15). */
  | { readonly kind: 'cachesLost' }
  | { readonly kind: 'releasing' }
  | { readonly kind: 'stopped'; readonly why: StopReason };

export type StopReason =
  | { readonly code: 'released' }
  /** Asked to release, but the flush or the store did not come to an end in time. */
  | { readonly code: 'unreleased'; readonly detail: string }
  /** Another target has the record, or a higher epoch was promised. */
  | { readonly code: 'superseded'; readonly detail: string }
  /** The attachment that this target was started for is not in the record any more. */
  | { readonly code: 'attachmentGone'; readonly detail: string }
  /** Evidence that the store is older than a replica (R5), or of a foreign incarnation (R7). */
  | { readonly code: 'evidence'; readonly detail: string };

/** A swap whose outcome is not known: it may have landed, or may still (R1). */
export interface Proposal {
  readonly version: number;
  readonly inSync: readonly string[];
}

export interface State {
  readonly instance: string;
  readonly attachmentToken: string;
  /** Instances of earlier targets whose process is known dead (R11). */
  readonly knownDead: readonly string[];
  readonly phase: Phase;
  readonly version: number;
  readonly record: VolumeRecord | null;
  readonly members: readonly MemberView[];
  readonly proposals: readonly Proposal[];
  /** A swap or a read of the record waits for its answer. */
  readonly storeBusy: boolean;
  /** Members removed at a generation that is not yet durable in every remaining copy (R3). */
  readonly freeing: readonly { readonly id: string; readonly generation: number }[];
  /** The stragglers of the start have had their time. */
  readonly stragglersOver: boolean;
  /** Everything was flushed when the last target that can have written stopped (R16). */
  readonly clean: boolean;
  /** All lost their caches under an earlier attachment: what they have is what there is (R15). */
  readonly lossAccepted: boolean;
  /** No earlier target can still hold a lease (R11). */
  readonly skipLeaseWait: boolean;
  /** The target in the record before this one claimed it. */
  readonly priorTarget: string | null;
  /** The record's generation before this one claimed it. */
  readonly claimedGeneration: number;
  /** A straggler was given up at the start: what it promised is not known. */
  readonly strangersLeft: boolean;
  /** A replica's copy or promise was newer than the record: the record is read again (R5). */
  readonly doubt: string | null;
  /** How often members that had failed something were kept all the same: nobody else was left. */
  readonly sparedCount: number;
  readonly releaseAsked: boolean;
  /** Why the machine waits, for people; empty when it does not. */
  readonly waitingFor: string;
}

export type Event =
  | { readonly kind: 'start' }
  | { readonly kind: 'recordRead'; readonly version: number; readonly record: VolumeRecord }
  /** A read of the record got no answer. */
  | { readonly kind: 'readFailed'; readonly detail: string }
  | { readonly kind: 'swapCommitted'; readonly version: number; readonly record: VolumeRecord }
  /** The record had moved on; nothing was changed. */
  | { readonly kind: 'swapConflict'; readonly version: number; readonly record: VolumeRecord }
  | { readonly kind: 'swapUnknown'; readonly detail: string }
  /** Time to ask the store again. */
  | { readonly kind: 'storeRetry' }
  | { readonly kind: 'inspected'; readonly member: string; readonly facts: MemberFacts }
  /** It answered, but will not be this member: `evidence` of something an operator must see. */
  | {
      readonly kind: 'refused';
      readonly member: string;
      readonly evidence: boolean;
      readonly detail: string;
    }
  | { readonly kind: 'away'; readonly member: string }
  | { readonly kind: 'stragglersOver' }
  | {
      readonly kind: 'promised';
      readonly member: string;
      readonly promise: PromiseFacts;
      readonly previous: PromiseFacts;
      readonly copy: CopyFacts | null;
    }
  | {
      readonly kind: 'promiseRefused';
      readonly member: string;
      readonly epoch: number;
      readonly instance: string;
    }
  | { readonly kind: 'copyStored'; readonly member: string; readonly generation: number }
  | { readonly kind: 'copyFailed'; readonly member: string }
  | { readonly kind: 'equalised' }
  /** It missed a deadline, or came back without its cache. */
  | {
      readonly kind: 'missed';
      readonly member: string;
      readonly detail: string;
      readonly lostCache: boolean;
    }
  /** It answered a request with an error, and others in sync did it. */
  | { readonly kind: 'failed'; readonly member: string; readonly detail: string }
  /** It answered a flush with an error: it never will flush again (R14). */
  | { readonly kind: 'flushFailed'; readonly member: string }
  /** It answered a request of this epoch. Told only while somebody is to be removed. */
  | { readonly kind: 'answered'; readonly member: string }
  | { readonly kind: 'bound'; readonly member: string }
  | { readonly kind: 'verified'; readonly member: string }
  | { readonly kind: 'joinDropped'; readonly member: string }
  | { readonly kind: 'releaseAsked' }
  /** Everything is answered and flushed: the record may say so. */
  | { readonly kind: 'drained' };

export type Effect =
  | { readonly kind: 'readRecord' }
  | { readonly kind: 'swap'; readonly version: number; readonly next: VolumeRecord }
  /** Send `storeRetry` after a short while. */
  | { readonly kind: 'retryStore' }
  /** Keep a control connection to each of these. */
  | { readonly kind: 'connect'; readonly members: readonly string[] }
  | { readonly kind: 'startStragglers' }
  | { readonly kind: 'promise'; readonly member: string; readonly epoch: number }
  | { readonly kind: 'storeCopy'; readonly member: string; readonly record: VolumeRecord }
  /** Make the members equal to `source`; then `equalised`. */
  | {
      readonly kind: 'equalise';
      readonly source: string;
      readonly others: readonly string[];
    }
  | { readonly kind: 'drain' }
  | { readonly kind: 'stop'; readonly why: StopReason };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** Switches that disable one rule each, for the simulator's own tests only. */
export type Break =
  | 'R1-unknown-swap-settles'
  | 'R2-same-epoch'
  | 'R3-free-at-once'
  | 'R4-any-attachment'
  | 'R5-ignore-copies'
  | 'R10-any-promise'
  | 'R15-resume-after-reboot'
  | 'R16-no-equalise'
  | 'R17-no-keeper'
  // Of the data path: coordinator, volume and rebuilder.
  | 'R3-any-answer'
  | 'R11-no-lease'
  | 'R11-no-wait'
  | 'R12-no-equalise-after-error'
  | 'R13-read-overtakes'
  | 'R14-flush-any'
  | 'R17-never-removed'
  | 'R18-held-for-ever'
  | 'R18-not-ready'
  | 'R22-no-barrier'
  | 'R24-no-verify';
