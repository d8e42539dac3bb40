/** The Linux guest against a target that is not ours: what it says of ours can be believed. */
import { open } from 'node:fs/promises';
import { expect } from '@jest/globals';
import { MiB } from '../../core/units.ts';
import { needs } from '../fixtures/needs.ts';
import { runInGuest } from '../fixtures/rigs/linux-guest/guest.ts';
import { GUEST_COMMANDS, GUEST_NEEDS } from '../fixtures/rigs/linux-guest/image.ts';
import { iscsiScenario } from '../fixtures/rigs/linux-guest/iscsi-scenario.ts';
import { startTgt, TGT_COMMANDS } from '../fixtures/rigs/tgt.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

const TIMEOUT_MS = 300_000;
const real = needs({ ...GUEST_NEEDS, command: [...GUEST_COMMANDS, ...TGT_COMMANDS] });

real.test(
  'a Linux initiator makes, fills, trims and checks a file system on tgt',
  async () => {
    await using folder = await temporaryFolder('rig');
    await using tgt = await startTgt(folder.path, 128 * MiB);
    const asked: string[] = [];
    const report = await runInGuest({
      script: iscsiScenario({ ...tgt, writeMiB: 4, askDuringWrites: 'act' }),
      onAsk: { act: async () => void asked.push('act') },
    });
    expect(report.failedSteps).toEqual([]);
    expect(asked).toEqual(['act']);
    expect(report.outputOf('discover')).toContain(tgt.targetName);
    expect(report.outputOf('disk')).toContain(`${(128 * MiB) / 512}`);
  },
  TIMEOUT_MS,
);

real.test(
  'the guest notices bytes that changed behind its back',
  async () => {
    await using folder = await temporaryFolder('rig');
    await using tgt = await startTgt(folder.path, 128 * MiB);
    const spoil = async () => {
      await using file = await open(tgt.file, 'r+');
      await file.write(Buffer.alloc(120 * MiB, 0x55), 0, 120 * MiB, 8 * MiB);
    };
    const report = await runInGuest({
      script: iscsiScenario({ ...tgt, writeMiB: 4, askDuringWrites: 'spoil' }),
      onAsk: { spoil },
    });
    expect(report.failedSteps.map(({ name }) => name)).toContain('verify');
  },
  TIMEOUT_MS,
);

real.test(
  'a host that fails while the guest waits is told from a guest that fails',
  async () => {
    const failing = runInGuest({
      script: 'ask fail; step never true',
      onAsk: { fail: () => Promise.reject(new Error('on purpose')) },
    });
    await expect(failing).rejects.toThrow('while the guest waited for fail');
  },
  TIMEOUT_MS,
);
