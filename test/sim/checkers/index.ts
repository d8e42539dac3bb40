import { aBlockHasOneValue } from './a-block-has-one-value.ts';
import { acknowledgedWritesSurvive } from './acknowledged-writes-survive.ts';
import type { MakeChecker } from './checker.ts';
import { healthyWasVerified } from './healthy-was-verified.ts';
import { itEndsWell } from './it-ends-well.ts';
import { noResurrection } from './no-resurrection.ts';
import { oneWriter } from './one-writer.ts';
import { slowReplicaIsNoOutage } from './slow-replica-is-no-outage.ts';
import { storeLossIsNotCorruption } from './store-loss-is-not-corruption.ts';

export const CHECKERS: readonly MakeChecker[] = [
  acknowledgedWritesSurvive,
  aBlockHasOneValue,
  oneWriter,
  noResurrection,
  slowReplicaIsNoOutage,
  healthyWasVerified,
  storeLossIsNotCorruption,
  itEndsWell,
];
