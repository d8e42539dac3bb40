import type { HelloRequest, PromiseAnswer, Refusal } from '../../core/wire/frame.ts';
import type { StorageError } from '../chain/index.ts';

export interface Expected {
  readonly token: string;
  readonly volumeId: string;
  readonly incarnation: string;
  readonly replicaId: string;
  /** Why this folder is nobody's any more, or null. */
  readonly lost: StorageError | null;
}

/** Null: it is for us, and allowed to ask. */
export function helloRefusal(hello: HelloRequest, expected: Expected): Refusal | null {
  if (!sameSecret(hello.token, expected.token)) {
    return refusal('badToken', 'the token is not the one of this replica');
  }
  if (hello.volumeId !== expected.volumeId) {
    return refusal('wrongVolume', `this is volume ${expected.volumeId}, not ${hello.volumeId}`);
  }
  if (hello.replicaId !== expected.replicaId) {
    return refusal('wrongReplica', `this is replica ${expected.replicaId}, not ${hello.replicaId}`);
  }
  if (hello.incarnation !== expected.incarnation) {
    const detail = `this copy is of incarnation ${expected.incarnation}, not ${hello.incarnation}`;
    return refusal('foreignIncarnation', detail);
  }
  return expected.lost === null ? null : refusal('lostIdentity', expected.lost.message);
}

export function isPromised(hello: HelloRequest, promise: PromiseAnswer): boolean {
  return hello.epoch === promise.epoch && hello.instance === promise.instance && hello.epoch > 0;
}

/** A control connection may come at 0 to look, and at an epoch that is still to be promised. */
export function isFenced(hello: HelloRequest, promise: PromiseAnswer): boolean {
  if (hello.epoch === 0) return false;
  if (hello.epoch === promise.epoch) return hello.instance !== promise.instance;
  return hello.epoch < promise.epoch;
}

/** Takes as long whatever differs, so that a token cannot be guessed byte by byte. */
export function sameSecret(given: string, expected: string): boolean {
  const wanted = Buffer.from(expected);
  const found = Buffer.from(given);
  let difference = wanted.length ^ found.length;
  for (let at = 0; at < wanted.length; at += 1) {
    difference |= (wanted[at] ?? 0) ^ (found[at % Math.max(1, found.length)] ?? 0);
  }
  return difference === 0 && wanted.length > 0;
}

function refusal(code: Refusal['code'], detail: string): Refusal {
  return { code, detail };
}
