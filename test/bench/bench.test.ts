/** The bench, tiny: that it runs and counts right; how fast is for `npm run bench` to say. */
import { describe, expect, test } from '@jest/globals';
import { KiB, MiB } from '../../core/units.ts';
import { needs } from '../fixtures/needs.ts';
import { CLUSTER_COMMANDS } from '../fixtures/rigs/cluster.ts';
import { TGT_COMMANDS } from '../fixtures/rigs/tgt.ts';
import { CASES } from './cases.ts';
import { LatencyHistogram } from './latency-histogram.ts';
import { measure } from './measure.ts';
import { reportText } from './report.ts';
import { ours, TGT } from './systems.ts';

const TIMEOUT_MS = 120_000;

describe('the latency histogram', () => {
  test('gives exact percentiles of fine and coarse latencies', () => {
    const histogram = new LatencyHistogram();
    for (let latencyUs = 1; latencyUs <= 99; latencyUs += 1) histogram.add(latencyUs + 0.5);
    histogram.add(2_000_400);
    expect(histogram.count).toBe(100);
    expect(histogram.percentileUs(0.5)).toBe(50);
    expect(histogram.percentileUs(0.99)).toBe(99);
    expect(histogram.percentileUs(1)).toBe(2_000_000);
    expect(histogram.maxUs).toBe(2_000_400);
  });

  test('gives zero when nothing was added', () => {
    expect(new LatencyHistogram().percentileUs(0.99)).toBe(0);
  });
});

test('the cases are 4 KiB at depth 1, 32 and 128, and 1 MiB, each read and written', () => {
  const names = CASES.map(({ kind, sizeBytes, queueDepth }) => [kind, sizeBytes, queueDepth]);
  expect(names).toEqual([
    ['read', 4 * KiB, 1],
    ['write', 4 * KiB, 1],
    ['read', 4 * KiB, 32],
    ['write', 4 * KiB, 32],
    ['read', 4 * KiB, 128],
    ['write', 4 * KiB, 128],
    ['read', MiB, 8],
    ['write', MiB, 8],
  ]);
});

const command = [...TGT_COMMANDS, ...CLUSTER_COMMANDS];

needs({ linux: true, root: true, command }).test(
  'a tiny run measures every case on tgt and on ours, and every process',
  async () => {
    const sizes = { volumeBytes: 64 * MiB, spanBytes: 8 * MiB, durationMs: 20 };
    const systems = [TGT, ours(3)];
    const report = await measure({ systems, cases: CASES, ...sizes });
    expect(report.measurements).toHaveLength(CASES.length * systems.length);
    for (const one of report.measurements) {
      expect(one.operationCount).toBeGreaterThanOrEqual(one.queueDepth);
      expect(one.p50Us).toBeLessThanOrEqual(one.p99Us);
      expect(one.maxUs).toBeGreaterThan(0);
    }
    const processes = report.memory.map((one) => one.process);
    expect(processes).toEqual(expect.arrayContaining(['tgtd', 'target node-1', 'replica node-3']));
    expect(report.memory.every((one) => one.residentBytes > 0)).toBe(true);
    const text = reportText(report, TGT.name);
    expect(text).toContain('4 KiB read, queue depth 128');
    expect(text).toContain('1.00×');
    expect(text).toContain('ours, 3 replicas');
  },
  TIMEOUT_MS,
);
