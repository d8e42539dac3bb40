import { KiB, MiB } from '../../core/units.ts';
import type { LoadCase } from './load.ts';

const SMALL = [1, 32, 128].map((queueDepth) => ({ sizeBytes: 4 * KiB, queueDepth }));
const LARGE = [{ sizeBytes: MiB, queueDepth: 8 }];

export const CASES: readonly LoadCase[] = [...SMALL, ...LARGE].flatMap((shape) => [
  { kind: 'read' as const, ...shape },
  { kind: 'write' as const, ...shape },
]);
