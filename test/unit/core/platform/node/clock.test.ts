import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { NodeClock } from '../../../../../core/platform/node/clock.ts';
import { nodePlatform } from '../../../../../core/platform/node/index.ts';
import { loadLibc } from '../../../../../core/platform/node/libc.ts';

const libc = loadLibc((sentence) => {
  throw new Error(sentence);
});

const clocks = [
  ['by CLOCK_BOOTTIME', new NodeClock(libc)],
  ['by /proc/uptime where there is no koffi', new NodeClock(null)],
] as const;

describe.each(clocks)('the real clock %s', (_how, clock) => {
  test('shows the milliseconds since boot and never goes back', () => {
    const uptimeMs = Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0]) * 1_000;
    expect(Math.abs(clock.nowMs() - uptimeMs)).toBeLessThan(1_000);
    let lastMs = clock.nowMs();
    for (let index = 0; index < 2_000; index += 1) {
      const nowMs = clock.nowMs();
      expect(nowMs).toBeGreaterThanOrEqual(lastMs);
      lastMs = nowMs;
    }
  });

  test('never fires a timer early', async () => {
    const earlyMs = await Promise.all(
      Array.from({ length: 30 }, (_none, index) => {
        const delayMs = index / 7;
        const startMs = clock.nowMs();
        return new Promise<number>((resolve) => {
          clock.timer(delayMs, () => resolve(startMs + delayMs - clock.nowMs()));
        });
      }),
    );
    expect(Math.max(...earlyMs)).toBeLessThanOrEqual(0);
  });

  test('fires no cancelled timer, and takes delays longer than setTimeout does', async () => {
    const fired: string[] = [];
    const month = clock.timer(2 ** 32, () => fired.push('a month'));
    const cancelled = clock.timer(1, () => fired.push('cancelled'));
    cancelled.cancel();
    cancelled.cancel();
    await new Promise<void>((resolve) => {
      clock.timer(20, resolve);
    });
    month.cancel();
    expect(fired).toEqual([]);
  });
});

test('real time for people is that of the system', () => {
  expect(Math.abs(new NodeClock(libc).wallMs() - Date.now())).toBeLessThan(1_000);
});

test('the real random numbers are within their limits', () => {
  const { random } = nodePlatform();
  for (const limit of [1, 2, 6, 2 ** 32 + 1, 2 ** 48]) {
    for (let index = 0; index < 200; index += 1) {
      const value = random.below(limit);
      expect(Number.isInteger(value) && value >= 0 && value < limit).toBe(true);
    }
  }
  expect(new Set(Array.from({ length: 50 }, () => random.below(2 ** 48))).size).toBe(50);
  expect(random.bytes(16)).toHaveLength(16);
  expect(random.bytes(16)).not.toEqual(random.bytes(16));
  expect(random.uuid()).toMatch(
    /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
});

test('the real boot id is that of the kernel', () => {
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  expect(nodePlatform().host.bootId()).toBe(bootId);
});
